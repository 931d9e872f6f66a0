// What is known of the process or remote whose panel is open, in words.
// Owns the words; asks and draws nothing.

import { prefs } from './prefs.js';
import { amount, rate } from './units.js';

/** Terms and what they are, of the live rows or of what the history keeps. */
export function identity(open, summary) {
  if (open.kind !== 'process') return [];
  const live = processes(open, summary);
  const rows = live.length ? live : open.who ?? [];
  const each = (name) => [...new Set(rows.map((row) => row[name]).filter(Boolean))];
  const facts = [
    ['PID', live.length ? each('pid').slice(0, 8).join(', ') : open.pid && `${open.pid} (ended)`],
    ['User', each('user').join(', ')],
    ['Unit', each('unit').join(', ')],
    ['Container', each('container').join(', ')],
    ['Command', each('command').slice(0, 3).join('\n')],
  ];
  return facts.filter(([, value]) => value);
}

/** Rows of exactly this process; the record has more of it than the summary. */
function processes(open, summary) {
  const fits = (row) => row.name === open.name && (!open.pid || row.pid === open.pid);
  const fresh = summary.processes.filter(fits);
  const pids = new Set(fresh.map((row) => row.pid));
  return [...fresh, ...(open.processes ?? []).filter((row) => fits(row) && !pids.has(row.pid))];
}

/** Rates of now and a sentence about the rest. */
export function liveText(open, summary) {
  const { unit } = prefs;
  const rows = open.kind === 'process'
    ? processes(open, summary)
    : summary.remotes.filter((row) => row.remote_address === open.address);
  const sum = (name) => rows.reduce((all, row) => all + row[name], 0);
  const ended = rows.length && rows.every((row) => row.exited);
  const total = amount(sum('tx_bytes') + sum('rx_bytes'), 'bytes');
  let words = rows.length ? `${total} since netmon started` : 'moves nothing now';
  if (ended) words = `ended; ${words}`;
  return {
    rates: [`↑ ${rate(sum('tx_rate'), unit)}`, `↓ ${rate(sum('rx_rate'), unit)}`],
    words,
    hot: rows.some((row) => row.anomalous),
  };
}

const end = (address, port) => {
  if (!address) return 'unknown';
  if (!port) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
};

/** A live flow as a row. */
export function flowRow(flow) {
  const remote = end(flow.remote_address, flow.remote_port);
  const local = end(flow.local_address, flow.local_port);
  return {
    key: `${flow.pid} ${flow.protocol} ${local} ${remote}`,
    title: flow.closed ? `${remote} †` : remote,
    detail: `${flow.protocol} · from ${local} · ${flow.pid}`,
    cells: [rate(flow.tx_rate, prefs.unit), rate(flow.rx_rate, prefs.unit), amount(flow.tx_bytes + flow.rx_bytes, 'bytes')],
    tx: flow.tx_rate,
    rx: flow.rx_rate,
    dim: flow.closed,
    hot: flow.anomalous,
  };
}
