// The lists of the page: top processes and remotes, now or over the window.
// Owns what is asked for them and how a row reads.

import { by, say } from './dom.js';
import { past as ask, Refused } from './ask.js';
import { chosenWindow, prefs } from './prefs.js';
import { processHash, remoteHash } from './route.js';
import { Table } from './table.js';
import { amount, percent, rate } from './units.js';

/** Asked for, so that the filter has more to find than what is shown. */
const LIMIT = 50;
const UNKNOWN = 'unknown';

const past = { process: null, remote: null, failed: '' };
let tables = {};
let asked = 0;

/** Prepares both tables. */
export function start() {
  tables = {
    process: new Table(by('processes'), { label: 'Top processes', columns: ['Process', '', '', ''], empty: '' }),
    remote: new Table(by('remotes'), { label: 'Top remotes', columns: ['Remote', '', '', ''], empty: '' }),
  };
}

/** Asks for the window's lists. */
export async function refresh(now) {
  if (prefs.mode !== 'window') return;
  const mine = (asked += 1);
  const since = new Date((now - chosenWindow().seconds) * 1000).toISOString();
  const top = (kind) => ask('/api/history/top', { since, by: kind, limit: LIMIT });
  try {
    const [process, remote] = await Promise.all([top('process'), top('remote')]);
    if (mine === asked) Object.assign(past, { process, remote, failed: '' });
  } catch (error) {
    if (mine === asked && error instanceof Refused) {
      Object.assign(past, { process: null, remote: null, failed: error.message });
    }
  }
}

/** Forgets the lists of another window. */
export function forget() {
  asked += 1;
  Object.assign(past, { process: null, remote: null, failed: '' });
}

/** Shows both lists. */
export function draw(summary) {
  const needle = by('filter').value.trim().toLowerCase();
  const live = prefs.mode === 'now';
  const last = live ? 'Total' : 'Share';
  for (const kind of ['process', 'remote']) {
    const table = tables[kind];
    table.head([kind === 'process' ? 'Process' : 'Remote', '↑ Sent', '↓ Received', last]);
    const rows = (live ? now(kind, summary) : window_(kind))
      .filter((row) => !needle || row.searched.toLowerCase().includes(needle));
    table.set(rows, nothing(live, needle, summary, kind));
  }
  const note = live ? 'now, by rate' : `last ${chosenWindow().label}, by bytes`;
  for (const id of ['processes-note', 'remotes-note']) say(by(id), note);
}

function nothing(live, needle, summary, kind) {
  if (!live && past.failed) return past.failed;
  if (live ? !summary : !past[kind]) return live ? 'Waiting for the first reading …' : 'Reading the history …';
  if (needle) return `Nothing here has “${needle}” in it.`;
  return live ? 'No traffic yet.' : 'No traffic in this window yet.';
}

function now(kind, summary) {
  if (!summary) return [];
  return kind === 'process' ? summary.processes.map(liveProcess) : summary.remotes.map(liveRemote);
}

function liveProcess(row) {
  const where = row.unit ?? row.container;
  const detail = row.pid ? [row.pid, row.user, where && short(where)].filter(Boolean).join(' · ') : '';
  return {
    key: `now ${row.pid} ${row.name}`,
    href: row.pid ? processHash(row.name, row.pid) : null,
    title: row.exited ? `${row.name} †` : row.name,
    detail,
    tip: row.command,
    searched: `${row.name} ${row.command} ${detail}`,
    ...rates(row),
    dim: row.exited,
    hot: row.anomalous,
  };
}

const rates = (row) => ({
  cells: [
    rate(row.tx_rate, prefs.unit),
    rate(row.rx_rate, prefs.unit),
    amount(row.tx_bytes + row.rx_bytes, 'bytes'),
  ],
  tx: row.tx_rate,
  rx: row.rx_rate,
});

const liveRemote = (row) => remote(row, row.remote_address, rates(row));

function remote(row, address, rest) {
  return {
    key: `${rest.past ? 'past' : 'now'} ${address ?? ''}`,
    href: address ? remoteHash(address) : null,
    title: address || UNKNOWN,
    searched: address || UNKNOWN,
    ...rest,
  };
}

/** Container ids are long and their beginning says enough. */
export const short = (text) => (/^[0-9a-f]{32,}$/.test(text) ? text.slice(0, 12) : text);

function window_(kind) {
  return (past[kind]?.rows ?? []).map(kind === 'process' ? pastProcess : (row) => remote(row, row.key, bytes(row)));
}

/** Cells of a row of the history. */
export const bytes = (row) => ({
  cells: [amount(row.tx_bytes, 'bytes'), amount(row.rx_bytes, 'bytes'), percent(row.percentage)],
  tx: row.tx_bytes,
  rx: row.rx_bytes,
  past: true,
});

/** A process of the history as a row. */
export function pastProcess(row) {
  const where = row.unit ?? row.container;
  const detail = [row.user, where && short(where)].filter(Boolean).join(' · ');
  return {
    key: `past ${row.key} ${row.executable} ${detail}`,
    href: row.key ? processHash(row.key) : null,
    title: row.key || UNKNOWN,
    detail,
    tip: row.executable ?? '',
    searched: `${row.key} ${row.executable ?? ''} ${detail}`,
    ...bytes(row),
  };
}
