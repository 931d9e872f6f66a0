// The card of interfaces: what each one moves now, its last minutes, and what the
// packets were where a sampler tells. Owns its rows and which of them are shown.

import { by, make, say } from './dom.js';
import { past } from './ask.js';
import * as beyond from './beyond.js';
import { Trace, TRACED } from './charts.js';
import { recorded } from './points.js';
import { prefs } from './prefs.js';
import { interfaceHash } from './route.js';
import { Table } from './table.js';
import { percent, rate } from './units.js';

/** Rows before all are asked for. */
const SHOWN = 8;
/** What the five parts of all packets are shown as, with their colours. */
const PARTS = [
  ['TCP', '--class-tcp', ['tcp']],
  ['UDP', '--class-udp', ['udp']],
  ['ICMP', '--class-icmp', ['icmp']],
  ['other', '--other', ['other_ip', 'not_ip']],
];
/** Parts of TCP and UDP. */
const WEB = [
  ['HTTPS', '--class-https', ['https']],
  ['HTTP', '--class-http', ['http']],
];
/** What the lines are, and the bars where nobody tells packets apart. */
const WAYS = [
  ['sent', '--tx'],
  ['received', '--rx'],
];

const COLUMNS = ['Interface', 'Last 3 min', '↑ Sent', '↓ Received', 'Packets/s', 'Average', 'Peak'];
/** Classes of the columns after the first: which go where there is no room. */
const ROOM = [['graph'], [], [], ['second'], ['first'], ['second']];

/** Lines of the last minutes by number of the interface. */
const traces = new Map();
let table = null;
let all = false;
let last = null;

/** A table with a line and a bar of classes in each row. */
class InterfaceTable extends Table {
  create(row) {
    const parts = super.create(row);
    parts.cells.forEach((cell, at) => cell.classList.add(...ROOM[at]));
    parts.cells[0].append(traceOf(row.key).svg);
    parts.classes = make('span', { class: 'classes', 'aria-hidden': 'true', hidden: true },
      bar(PARTS), bar(WEB));
    parts.line.querySelector('th').append(parts.classes);
    return parts;
  }

  fill(parts, row, top) {
    // The line stands where a text would be written.
    super.fill({ ...parts, cells: parts.cells.slice(1) }, { ...row, cells: row.cells.slice(1) }, top);
    parts.classes.hidden = !row.parts;
    parts.line.querySelector('.share').hidden = Boolean(row.parts);
    if (!row.parts) return;
    paint(parts.classes.children[0], row.parts);
    paint(parts.classes.children[1], row.web);
  }
}

/** A bar of parts, each in its colour. */
function bar(parts) {
  return make('span', { class: 'stack' }, ...parts.map(([, color]) => {
    const piece = make('i');
    piece.style.background = `var(${color})`;
    return piece;
  }));
}

function paint(stack, shares) {
  shares.forEach((share, at) => { stack.children[at].style.width = `${share}%`; });
}

/** Prepares the card. */
export function start() {
  table = new InterfaceTable(by('interfaces'), {
    label: 'Interfaces', columns: COLUMNS, empty: 'Waiting for the first reading …',
  });
  table.table.classList.add('links');
  table.heads.slice(1).forEach((head, at) => head.classList.add(...ROOM[at]));
  by('interfaces-more').addEventListener('click', () => {
    all = !all;
    if (!all) beyond.forget();
    draw(last);
  });
}

/** Adds a reading to the lines of the last minutes. */
export function push(summary) {
  const time = Date.parse(summary.time) / 1000;
  trace(summary.interfaces ?? [], time, summary.interval_seconds);
  // One that is not among the largest for a moment keeps its line.
  for (const [key, trace] of traces) {
    if (trace.isOver(time) && !table.rows.has(key)) traces.delete(key);
  }
}

function trace(rows, time, seconds) {
  for (const row of rows) traceOf(String(row.index)).push(time, seconds, row.tx_rate, row.rx_rate);
}

function traceOf(key) {
  if (!traces.has(key)) traces.set(key, new Trace());
  return traces.get(key);
}

/** Draws what the history has of the lines, of those that are shown when the page opens. */
export async function recall(now) {
  const since = new Date((now - TRACED) * 1000).toISOString();
  for (const one of largest(last?.interfaces ?? [])) {
    try {
      const answer = await past('/api/timeseries', { since, step: '10s', iface: one.interface });
      traceOf(String(one.index)).before(recorded(answer, now).map(({ start, seconds, tx_bytes, rx_bytes }) => (
        { start: start + seconds / 2, seconds, tx: tx_bytes, rx: rx_bytes })));
    } catch {
      // Without a history the lines begin with the page.
      return;
    }
  }
}

/** Shows a summary. */
export function draw(summary) {
  last = summary;
  if (!summary) return;
  const needle = by('filter').value.trim().toLowerCase();
  if (all || needle) beyond.ask(summary, heard);
  const rows = beyond.known(summary);
  const there = beyond.count(summary);
  const shown = needle
    ? rows.filter((one) => one.interface.toLowerCase().includes(needle))
    : all ? rows : largest(rows);
  table.shown = shown.length;
  table.set(shown.map(row), needle ? `Nothing here has “${needle}” in it.` : 'There is no interface.');
  const more = by('interfaces-more');
  more.hidden = Boolean(needle) || there <= SHOWN;
  say(more, all ? 'Show fewer' : `Show all ${there}`);
  more.setAttribute('aria-expanded', String(all));
  const sampled = rows.filter((one) => one.sampled).length;
  say(by('interfaces-note'), note(shown.length, there, sampled));
  legend(shown.some((one) => one.sampled));
}

/** The interfaces that the stream has no room for are here. */
function heard(others) {
  trace(others, Date.parse(last.time) / 1000, last.interval_seconds);
  draw(last);
}

/** Those that moved most since they were seen, in the order of their numbers; so that
    none goes or comes because of one interval. */
function largest(rows) {
  const size = (one) => (one.sampled ? Infinity : one.tx_bytes + one.rx_bytes);
  const kept = new Set([...rows].sort((a, b) => size(b) - size(a) || a.index - b.index).slice(0, SHOWN));
  return rows.filter((one) => kept.has(one));
}

function note(shown, there, sampled) {
  const words = ['frames with headers'];
  if (there > shown) words.push(`${shown} of ${there}`);
  if (there) words.push(sampled ? `${sampled} sampled` : 'none is sampled (serve --iface)');
  return words.join(' · ');
}

/** Shares in percent of what was told apart, by groups of classes. */
function shares(sampled, groups) {
  const of = (names) => sampled.classes
    .filter((one) => names.includes(one.class))
    .reduce((sum, one) => sum + one.tx_rate + one.rx_rate, 0);
  const whole = PARTS.reduce((sum, [, , names]) => sum + of(names), 0);
  return groups.map(([, , names]) => (whole ? (100 * of(names)) / whole : 0));
}

function row(one) {
  const { unit } = prefs;
  const parts = one.sampled && shares(one.sampled, PARTS);
  const web = one.sampled && shares(one.sampled, WEB);
  return {
    key: String(one.index),
    href: interfaceHash(one.interface),
    title: one.interface,
    detail: parts ? words(parts, web) : one.unsampled ? 'not sampled' : one.loopback ? 'loopback' : '',
    tip: one.sampled ? `in by ${one.sampled.ingress}, out by ${one.sampled.egress}: ${one.sampled.reason}` : one.unsampled ?? '',
    cells: [
      '',
      rate(one.tx_rate, unit),
      rate(one.rx_rate, unit),
      packets(one.tx_packet_rate + one.rx_packet_rate),
      rate(one.average_rate, unit),
      rate(one.peak_rate, unit),
    ],
    tx: one.tx_rate,
    rx: one.rx_rate,
    dim: one.tx_bytes + one.rx_bytes === 0,
    parts,
    web,
  };
}

/** The largest part, and the web's, as the detail of a row. */
function words(parts, web) {
  const named = [...PARTS.map(([name], at) => [name, parts[at]]), ...WEB.map(([name], at) => [name, web[at]])];
  const said = named.filter(([, share]) => share >= 1).map(([name, share]) => `${name} ${percent(share)}`);
  return said.join(' · ') || 'sampled';
}

/** Packets per second, whole ones where there are many: `0 /s`, `3.5 /s`, `1,234 /s`. */
export function packets(perSecond) {
  const value = Number(perSecond) || 0;
  const whole = value === 0 || value >= 9.95;
  return `${whole ? Math.round(value).toLocaleString('en') : value.toFixed(1)} /s`;
}

/** The row of an interface by its name; asks for it if the stream has no room for it. */
export function named(summary, name) {
  const find = () => beyond.known(summary).find((one) => one.interface === name);
  const row = find();
  if (!(summary.interfaces ?? []).includes(row)) beyond.ask(summary, heard);
  return row;
}

/** What the colours stand for. */
function legend(classes) {
  const wanted = [...WAYS, ...(classes ? [...PARTS, ...WEB] : [])];
  const key = by('interfaces-key');
  if (key.children.length === wanted.length) return;
  key.replaceChildren(...wanted.map(([name, color]) => {
    const swatch = make('i', { class: 'swatch' });
    swatch.style.background = `var(${color})`;
    return make('li', {}, swatch, name);
  }));
}
