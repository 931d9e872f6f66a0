// The panel of one process, remote or interface, opened by the address after `#`.
// Owns the dialog, what is asked for it and its parts.

import { by, make, mark, say } from './dom.js';
import { get, past, Refused } from './ask.js';
import { Stack } from './charts.js';
import { bytes, pastProcess } from './lists.js';
import { chosenWindow, prefs } from './prefs.js';
import { recorded } from './points.js';
import { current, remoteHash } from './route.js';
import { classRow, flowRow, identity, liveText } from './subject.js';
import { Table } from './table.js';

/** Between two readings of the flows of one process, ms. */
const FLOWS_EVERY = 2000;
/** How far back the history knows process ids, seconds. */
const PIDS_KEPT = 86400;

let open = null;
let asked = 0;
let last = null;
let opener = null;
let clock = () => 0;

/** Prepares the dialog; `now` gives the server's time in seconds. */
export function start(now) {
  clock = now;
  const dialog = by('panel');
  by('panel-close').addEventListener('click', close);
  dialog.addEventListener('cancel', (event) => {
    event.preventDefault();
    close();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) close();
  });
  // A browser may end a dialog without asking; the address follows it then.
  dialog.addEventListener('close', () => {
    if (!dialog.open) close();
  });
  addEventListener('hashchange', () => show(now()));
  setInterval(() => {
    if (open?.kind === 'process' && !document.hidden) flows(open);
  }, FLOWS_EVERY);
}

/** Shows the page alone. A step forward: what is behind may be another panel, or another site. */
export function close() {
  if (!current()) return;
  history.pushState(null, '', location.pathname + location.search);
  show(clock());
}

/** Shows what the address says, or nothing. */
export function show(now) {
  const dialog = by('panel');
  const wanted = current();
  open?.chart.destroy();
  if (!wanted) {
    open = null;
    asked += 1;
    if (dialog.open) dialog.close();
    opener?.focus?.({ preventScroll: true });
    opener = null;
    return;
  }
  if (!dialog.open) opener = document.activeElement;
  open = wanted;
  build(wanted);
  if (!dialog.open) dialog.showModal();
  by('panel-title').focus();
  dialog.scrollTop = 0;
  refresh(now);
  draw(last);
}

function build(wanted) {
  const { kind } = wanted;
  const process = wanted.pid ? `Process ${wanted.pid}` : 'All processes called';
  say(by('panel-kind'), { process, remote: 'Remote', iface: 'Interface' }[kind]);
  say(by('panel-title'), kind === 'remote' ? wanted.address : wanted.name);
  const section = (title, id) => {
    const box = make('div', { id });
    return [make('section', {}, make('h3', {}, title, make('span', { class: 'note', id: `${id}-note` })), box), box];
  };
  wanted.facts = make('dl', { class: 'facts' });
  wanted.live = make('p', { class: 'live', id: 'panel-live' });
  const [timeline, chart] = section('Timeline', 'panel-timeline');
  chart.className = 'chart small';
  chart.tabIndex = 0;
  const parts = [wanted.live, wanted.facts, timeline];
  if (kind === 'process') {
    const [remotes, list] = section('Remotes', 'panel-remotes');
    const [live, flowList] = section('Live flows', 'panel-flows');
    wanted.list = new Table(list, { label: 'Remotes', columns: ['Remote', '↑ Sent', '↓ Received', 'Share'], empty: 'Reading the history …' });
    wanted.flows = new Table(flowList, { label: 'Live flows', columns: ['Flow', '↑ Sent', '↓ Received', 'Total'], shown: 30, empty: 'Reading the flows …' });
    parts.push(remotes, live);
  } else if (kind === 'iface') {
    const [classes, list] = section('What the packets were', 'panel-classes');
    wanted.list = new Table(list, { label: 'Classes of packets', columns: ['Class', '↑ Sent', '↓ Received', 'Share'], empty: 'Reading the history …' });
    parts.push(classes);
  } else {
    const [talkers, list] = section('Who talks to it', 'panel-talkers');
    wanted.list = new Table(list, { label: 'Who talks to it', columns: ['Process', '↑ Sent', '↓ Received', 'Share'], empty: 'Reading the history …' });
    parts.push(talkers);
  }
  by('panel-body').replaceChildren(...parts);
  wanted.chart = new Stack(chart);
}

/** Asks again for what is open. */
export async function refresh(now) {
  if (!open) return;
  const mine = (asked += 1);
  const wanted = open;
  const { seconds, step, label } = chosenWindow();
  const since = new Date((now - seconds) * 1000).toISOString();
  // Past the level that knows process ids there is the name alone.
  const pid = seconds <= PIDS_KEPT ? wanted.pid : null;
  const whose = {
    process: { name: wanted.name, pid }, remote: { remote: wanted.address }, iface: { iface: wanted.name },
  }[wanted.kind];
  const mixed = wanted.pid && !pid ? `, all processes called ${wanted.name}` : '';
  for (const note of by('panel-body').querySelectorAll('h3 .note')) {
    if (note.id !== 'panel-flows-note') say(note, `last ${label}${mixed}`);
  }
  if (wanted.kind === 'process') flows(wanted);
  try {
    const [line, list] = await Promise.all([
      past('/api/timeseries', { since, step: `${step}s`, ...whose }),
      {
        process: () => past('/api/remotes', { since, ...whose, limit: 10 }),
        remote: () => past('/api/history/top', { since, by: 'process', ...whose, limit: 10 }),
        iface: () => past('/api/history/interfaces', { since, ...whose, limit: 1 }),
      }[wanted.kind](),
    ]);
    if (mine !== asked) return;
    wanted.line = line;
    wanted.window = { from: now - seconds, to: now };
    wanted.who = list.rows;
    [wanted.sum, wanted.stored] = [list.interfaces?.[0], list.stored];
    [wanted.seconds, wanted.label] = [seconds, label];
    wanted.list.set(rowsOf(list), nothingOf(wanted));
    wanted.failed = '';
  } catch (error) {
    if (mine !== asked || !(error instanceof Refused)) return;
    wanted.line = null;
    wanted.failed = error.message;
    wanted.list.set([], error.message);
  }
  drawTimeline();
  draw(last);
}

function rowsOf(list) {
  if (list.remotes) return list.remotes.map(remoteRow);
  if (list.interfaces) return (list.interfaces[0]?.classes ?? []).map(classRow);
  return list.rows.map(pastProcess);
}

function nothingOf({ kind, sum }) {
  if (kind === 'iface' && sum) return 'Not sampled in this time: netmon serve --iface tells packets apart.';
  return 'Nothing in this window yet.';
}

function remoteRow(row) {
  const address = row.remote_address;
  return { key: address ?? '', href: address ? remoteHash(address) : null, title: address ?? 'unknown', ...bytes(row) };
}

async function flows(wanted) {
  // A slow answer is waited for, not asked for again and again.
  if (wanted.reading) return;
  wanted.reading = true;
  try {
    const record = await get('/api/current', { name: wanted.name, pid: wanted.pid });
    if (wanted !== open) return;
    // The server's filter finds the name within longer names too.
    const mine = record.flows.filter((flow) => flow.name === wanted.name);
    mine.sort((a, b) => b.smoothed_rate - a.smoothed_rate || b.tx_bytes + b.rx_bytes - a.tx_bytes - a.rx_bytes);
    wanted.flows.set(mine.map(flowRow), 'No flow is open.');
    say(by('panel-flows-note'), mine.length ? String(mine.length) : '');
    wanted.processes = record.processes.filter((one) => one.name === wanted.name);
    draw(last);
  } catch (error) {
    if (wanted === open && error instanceof Refused) wanted.flows.set([], error.message);
  } finally {
    wanted.reading = false;
  }
}

/** What the stream says of what is open. */
export function draw(summary) {
  last = summary;
  if (!open || !summary) return;
  const facts = identity(open, summary);
  const text = facts.map((pair) => pair.join('\t')).join('\n');
  if (open.facts.dataset.shown !== text) {
    open.facts.dataset.shown = text;
    open.facts.replaceChildren(...facts.flatMap(([term, value]) => [make('dt', { text: term }), make('dd', { text: value })]));
  }
  const { words, rates, hot } = liveText(open, summary);
  if (!open.live.children.length) {
    open.live.append(make('span', { class: 'tx' }), make('span', { class: 'rx' }), make('span', { class: 'note' }));
  }
  say(open.live.children[0], rates[0]);
  say(open.live.children[1], rates[1]);
  say(open.live.children[2], words);
  mark(open.live, 'data-hot', hot);
}

/** Draws the timeline, for example in another unit. */
export function drawTimeline() {
  if (!open?.chart) return;
  const { line, chart, window: shown } = open;
  const empty = open.failed || 'No traffic in this window yet.';
  if (!line) {
    const to = Date.now() / 1000;
    chart.set({ points: [], series: [], from: to - chosenWindow().seconds, to, unit: prefs.unit, empty });
    return;
  }
  const points = recorded(line, shown.to);
  const values = (name) => points.map((point) => point[name] / point.seconds);
  chart.set({
    points,
    series: [
      { label: 'received', color: '--rx', values: values('rx_bytes') },
      { label: 'sent', color: '--tx', values: values('tx_bytes') },
    ],
    from: shown.from,
    to: shown.to,
    unit: prefs.unit,
    empty,
  });
}

/** Colours changed. */
export const repaint = () => open?.chart?.repaint();
