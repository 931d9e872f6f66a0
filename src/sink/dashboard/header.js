// What is on now: host, health, rates, totals, activity, coverage and losses.
// Owns the words of the header, which are those of the terminal.

import { by, mark, say } from './dom.js';
import { Spark } from './charts.js';
import { prefs } from './prefs.js';
import { amount, clock, rate } from './units.js';

/** From this share of the wire on a part is worth a word. */
const WORTH_A_WORD = 0.01;

/** Most interfaces that are named; of more than these one fewer, and how many the rest are. */
const NAMES = 5;

const sparks = {};

/** Prepares the lines of the last minute. */
export function start() {
  for (const name of ['tx', 'rx']) sparks[name] = new Spark(by(`${name}-spark`));
}

/** Adds to the lines of the last minute. */
export function push(summary) {
  const time = Date.parse(summary.time) / 1000;
  sparks.tx.push(time, summary.rates.tx_rate);
  sparks.rx.push(time, summary.rates.rx_rate);
}

const STATES = {
  connecting: 'Connecting',
  live: 'Live',
  paused: 'Paused',
  denied: 'Token needed',
};

/** State of the connection; `more` is the wait in seconds, or the time of the last reading. */
export function state(name, more) {
  const element = by('state');
  element.dataset.state = name;
  document.body.dataset.state = name;
  if (name === 'reconnecting') say(element, `Reconnecting${more >= 1 ? ` in ${Math.round(more)} s` : ''}`);
  else if (name === 'silent') say(element, more ? `No readings since ${clock(new Date(more), true)}` : 'No readings yet');
  else say(element, STATES[name]);
}

/** Shows a summary. */
export function draw(summary) {
  const { unit } = prefs;
  const title = `${summary.host} · netmon`;
  if (document.title !== title) document.title = title;
  say(by('host'), summary.host);
  say(by('engine'), `${summary.engine} engine`);
  say(by('version'), `netmon ${summary.version}, every ${Number(summary.interval_seconds.toFixed(1))} s`);
  for (const name of ['tx', 'rx']) {
    say(by(`${name}-rate`), rate(summary.rates[`${name}_rate`], unit));
    say(by(`${name}-total`), `${amount(summary.totals[`${name}_bytes`], 'bytes')} since netmon started`);
  }
  const { processes, flows } = summary.counts;
  say(by('activity'), `${count(processes, 'process', 'processes')}, ${count(flows, 'flow', 'flows')}`);
  health(summary.health);
  say(by('books'), covered(summary.coverage));
  const losses = lost(summary.loss);
  say(by('losses'), losses.join(' · '));
  by('losses').hidden = !losses.length;
  mark(by('losses'), 'data-warning', summary.loss.missed_events > 0 || summary.loss.untracked_flow_bytes > 0);
}

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

function health(text) {
  const element = by('health');
  const well = text === 'OK';
  element.hidden = false;
  mark(element, 'data-bad', !well);
  say(element, well ? 'OK' : text.replaceAll('DEGRADED ', ''));
  element.title = well ? 'Every part of netmon works' : text;
}

/** Losses as the terminal's header names them. */
function lost(loss) {
  const words = [];
  if (loss.missed_events > 0) words.push(`${count(loss.missed_events, 'event', 'events')} missed`);
  if (loss.untracked_flow_bytes > 0) words.push(`${amount(loss.untracked_flow_bytes)} without a flow (map full)`);
  if (loss.unknown_peer_bytes > 0) words.push(`${amount(loss.unknown_peer_bytes)} with unknown peers`);
  return words;
}

/** The first of many names. */
export function names(all) {
  if (all.length <= NAMES) return all.join(' ');
  const first = all.slice(0, NAMES - 1);
  return `${first.join(' ')} and ${all.length - first.length} more`;
}

/** How much of the wire is explained, in the terminal's words. */
function covered(coverage) {
  if (!coverage) return '';
  const wire = coverage.wire_tx_bytes + coverage.wire_rx_bytes;
  const words = [`wire ↑ ${amount(coverage.wire_tx_bytes)} ↓ ${amount(coverage.wire_rx_bytes)}`];
  if (coverage.explained === null) return words[0];
  const share = Math.floor(coverage.explained * 100);
  words.push(`${share} % explained`);
  if (1 - coverage.explained >= WORTH_A_WORD) words.push(`${100 - share} % forwarded, kernel or not counted`);
  const excess = coverage.excess_tx_estimate + coverage.excess_rx_estimate;
  if (excess >= wire * WORTH_A_WORD) words.push(`${amount(excess)} not on the wire`);
  words.push(names(coverage.interfaces));
  return words.filter(Boolean).join(' · ');
}
