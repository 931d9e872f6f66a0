// The lower half: bytes by protocol, and alerts with their times.
// Owns both cards and what is asked for them.

import { by, make, mark, say } from './dom.js';
import { past as ask, Refused } from './ask.js';
import { chosenWindow, prefs } from './prefs.js';
import { processHash } from './route.js';
import { amount, moment, percent, rate, span } from './units.js';

/** Protocols in the order of their colours. */
const PROTOCOLS = ['tcp', 'udp', 'icmp', 'sctp', 'mptcp', 'raw', 'packet', 'vsock'];
const MOST_ALERTS = 8;

const past = { protocols: null, alerts: null, failed: '' };
let asked = 0;

/** Asks for the window's protocols and alerts. */
export async function refresh(now) {
  const mine = (asked += 1);
  const since = new Date((now - chosenWindow().seconds) * 1000).toISOString();
  const windowed = prefs.mode === 'window';
  try {
    const [protocols, alerts] = await Promise.all([
      windowed ? ask('/api/protocol', { since }) : null,
      ask('/api/alerts', { since }),
    ]);
    if (mine === asked) Object.assign(past, { protocols: protocols?.protocols, alerts: alerts.alerts, failed: '' });
  } catch (error) {
    if (mine === asked && error instanceof Refused) {
      Object.assign(past, { protocols: null, alerts: null, failed: error.message });
    }
  }
}

/** Shows both cards at `now` (seconds). */
export function draw(summary, now) {
  drawProtocols(summary);
  drawAlerts(summary, now);
}

const toneOf = (protocol) => {
  const at = PROTOCOLS.indexOf(protocol);
  return at < 0 ? '--other' : `--series-${at + 1}`;
};

function drawProtocols(summary) {
  const live = prefs.mode === 'now';
  const box = by('protocols');
  const rows = (live ? summary?.protocols : past.protocols) ?? [];
  const total = rows.reduce((sum, row) => sum + row.tx_bytes + row.rx_bytes, 0);
  say(by('protocols-note'), live ? 'since netmon started' : `last ${chosenWindow().label}`);
  if (!total) {
    const text = live ? 'No traffic yet.' : past.failed || 'No traffic in this window yet.';
    if (box.firstChild?.className !== 'empty') box.replaceChildren(make('p', { class: 'empty' }));
    say(box.firstChild, text);
    return;
  }
  const shown = rows
    .map((row) => ({ ...row, bytes: row.tx_bytes + row.rx_bytes, name: row.protocol || 'unknown' }))
    .filter((row) => row.bytes > 0)
    .sort((a, b) => b.bytes - a.bytes);
  const names = shown.map((row) => row.name).join(' ');
  if (box.dataset.shown !== names || !box.querySelector('.shares')) {
    box.dataset.shown = names;
    box.replaceChildren(
      make('div', { class: 'shares', 'aria-hidden': 'true' }, ...shown.map((row) => tinted(make('i'), row.name))),
      make('ul', { class: 'kinds' }, ...shown.map((row) => make('li', {},
        tinted(make('i', { class: 'swatch' }), row.name),
        make('span', { class: 'name', text: row.name }),
        make('b'), make('span', { class: 'sum' }), make('span', { class: 'rates' })))),
    );
  }
  shown.forEach((row, at) => {
    const share = (100 * row.bytes) / total;
    box.querySelector('.shares').children[at].style.flexGrow = Math.max(share, 0.4);
    const [, , part, sum, rates] = box.querySelector('.kinds').children[at].children;
    say(part, percent(share));
    say(sum, amount(row.bytes, 'bytes'));
    say(rates, live
      ? `↑ ${rate(row.tx_rate, prefs.unit)}  ↓ ${rate(row.rx_rate, prefs.unit)}`
      : `↑ ${amount(row.tx_bytes)}  ↓ ${amount(row.rx_bytes)}`);
  });
}

function tinted(element, name) {
  element.style.background = `var(${toneOf(name)})`;
  return element;
}

const same = (a, b) => a.pid === b.pid && a.protocol === b.protocol
  && a.remote_address === b.remote_address && a.remote_port === b.remote_port;

function drawAlerts(summary, now) {
  const active = (summary?.anomalies ?? []).map((one) => ({
    ...one, started: one.since, ended: null, peak: one.value, active: true,
  }));
  // What the history has not ended yet is what is active now.
  const over = (past.alerts ?? []).filter((one) => one.ended || !active.some((other) => same(one, other)));
  const alerts = [...active, ...over];
  const box = by('alerts');
  say(by('alerts-note'), active.length ? `${active.length} active` : `last ${chosenWindow().label}`);
  mark(by('alerts-note'), 'data-warning', active.length);
  if (!alerts.length) {
    const limit = summary ? ` No flow was above ${rate(summary.threshold, prefs.unit)}.` : '';
    if (box.firstChild?.className !== 'empty') box.replaceChildren(make('p', { class: 'empty' }));
    say(box.firstChild, past.failed || `Quiet.${limit}`);
    return;
  }
  if (box.firstChild?.tagName !== 'UL') box.replaceChildren(make('ul', { class: 'alerts' }));
  const list = box.firstChild;
  const shown = alerts.slice(0, MOST_ALERTS);
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach((one, at) => fill(list.children[at] ?? list.appendChild(line()), one, now));
}

function line() {
  return make('li', {}, make('span', { class: 'badge' }), make('a', { class: 'name' }),
    make('span', { class: 'peer' }), make('b'), make('span', { class: 'when' }));
}

function fill(item, one, now) {
  const [badge, name, peer, peak, when] = item.children;
  const started = new Date(one.started);
  mark(item, 'data-active', one.active);
  say(badge, one.active ? 'Active' : 'Over');
  say(name, one.name);
  const href = processHash(one.name, one.active ? one.pid : null);
  if (name.getAttribute('href') !== href) name.setAttribute('href', href);
  const port = one.remote_port ? `:${one.remote_port}` : '';
  const address = one.remote_address?.includes(':') && port ? `[${one.remote_address}]` : one.remote_address;
  say(peer, `${one.protocol} ${address ?? 'unknown'}${port}`);
  say(peak, rate(one.peak, prefs.unit));
  peak.title = `above ${rate(one.threshold, prefs.unit)}`;
  const end = one.ended ? Date.parse(one.ended) / 1000 : now;
  const length = span(end - started / 1000);
  say(when, `${moment(started)} · ${one.active ? `for ${length}` : one.ended ? length : 'end unknown'}`);
  when.title = started.toLocaleString();
}
