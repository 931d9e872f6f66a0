// What is known of the process, remote or interface whose panel is open, in words.
// Owns the words; asks and draws nothing.

import { named, packets } from './interfaces.js';
import { prefs } from './prefs.js';
import { amount, percent, rate, span } from './units.js';

/** Less than this part of a window is worth a word. */
const WORTH_A_WORD = 0.95;

/** Terms and what they are, of the live rows or of what the history keeps. */
export function identity(open, summary) {
  if (open.kind === 'iface') return link(open, named(summary, open.name));
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

/** An interface as it is now, and what the history has of it. */
function link(open, row) {
  const { unit } = prefs;
  const { sum } = open;
  const facts = [];
  if (row) {
    facts.push(['Packets', packets(row.tx_packet_rate + row.rx_packet_rate)]);
    facts.push(['Counted for', `${span(row.uptime_seconds)}, on average ${rate(row.average_rate, unit)}, at most ${rate(row.peak_rate, unit)}`]);
  }
  if (row?.sampled) {
    const { ingress, egress, reason } = row.sampled;
    facts.push(['Sampled', `in by ${ingress}, out by ${egress}: ${reason}`]);
  } else if (row?.unsampled) {
    facts.push(['Not sampled', row.unsampled]);
  }
  if (sum) {
    const bytes = `↑ ${amount(sum.tx_bytes)}  ↓ ${amount(sum.rx_bytes)}`;
    const frames = (sum.tx_packets + sum.rx_packets).toLocaleString('en');
    const average = `on average ${rate(sum.average_rate, unit)}${over(open)}`;
    facts.push([`Last ${open.label}`, `${bytes} in ${frames} packets, ${average}, at most ${rate(sum.peak_rate, unit)}`]);
  }
  return facts;
}

/** Over what the average is, where the history does not have all of the window. */
function over({ stored, seconds }) {
  const had = (Date.parse(stored.until) - Date.parse(stored.since)) / 1000;
  return had < seconds * WORTH_A_WORD ? ` over the recorded ${span(had)}` : '';
}

/** A class of packets of the history as a row. */
export const classRow = (row) => ({
  key: row.class,
  title: CLASSES[row.class] ?? row.class,
  detail: ['http', 'https'].includes(row.class) ? 'part of the above' : '',
  // What is rounded to nothing is still something.
  cells: [amount(row.tx_bytes), amount(row.rx_bytes), percent(row.percentage || Number.EPSILON)],
  tx: row.tx_bytes,
  rx: row.rx_bytes,
});

const CLASSES = {
  tcp: 'TCP', udp: 'UDP', icmp: 'ICMP', other_ip: 'other IP', not_ip: 'not IP', http: 'HTTP', https: 'HTTPS',
};

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
  const rows = rowsOf(open, summary);
  const sum = (name) => rows.reduce((all, row) => all + row[name], 0);
  const ended = rows.length && rows.every((row) => row.exited);
  const total = amount(sum('tx_bytes') + sum('rx_bytes'), 'bytes');
  const since = open.kind === 'iface' ? 'since netmon saw it' : 'since netmon started';
  let words = rows.length ? `${total} ${since}` : open.kind === 'iface' ? 'is not there' : 'moves nothing now';
  if (ended) words = `ended; ${words}`;
  return {
    rates: [`↑ ${rate(sum('tx_rate'), unit)}`, `↓ ${rate(sum('rx_rate'), unit)}`],
    words,
    hot: rows.some((row) => row.anomalous),
  };
}

function rowsOf(open, summary) {
  if (open.kind === 'process') return processes(open, summary);
  if (open.kind === 'iface') return [named(summary, open.name)].filter(Boolean);
  return summary.remotes.filter((row) => row.remote_address === open.address);
}

const end = (address, port) => {
  if (!address) return 'unknown';
  if (!port) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
};

/** How a TCP connection fares: round trip, segments sent again, congestion window. */
export function health(tcp) {
  if (!tcp) return '';
  const time = (us) => (us < 1000 ? `${us} µs` : `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms`);
  const trip = tcp.rtt_us ? `RTT ${time(tcp.rtt_us)} ± ${time(tcp.rtt_variance_us)}` : 'RTT not known';
  const again = `${tcp.retransmits} ${tcp.retransmits === 1 ? 'retransmit' : 'retransmits'}`;
  const lost = tcp.lost ? `${tcp.lost} lost now` : '';
  const room = `window\u00a0${tcp.congestion_window}\u00a0×\u00a0${tcp.send_mss}\u00a0B`;
  return [trip, again, lost, room].filter(Boolean).join(' · ');
}

/** A live flow as a row. */
export function flowRow(flow) {
  const remote = end(flow.remote_address, flow.remote_port);
  const local = end(flow.local_address, flow.local_port);
  return {
    key: `${flow.pid} ${flow.protocol} ${local} ${remote}`,
    title: flow.closed ? `${remote} †` : remote,
    detail: [`${flow.protocol} · from ${local} · ${flow.pid}`, health(flow.tcp)].filter(Boolean).join('\n'),
    cells: [rate(flow.tx_rate, prefs.unit), rate(flow.rx_rate, prefs.unit), amount(flow.tx_bytes + flow.rx_bytes, 'bytes')],
    tx: flow.tx_rate,
    rx: flow.rx_rate,
    dim: flow.closed,
    hot: flow.anomalous,
  };
}
