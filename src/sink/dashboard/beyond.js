// Interfaces beyond those that the stream has room for, asked for only while somebody
// looks at them. Owns what was answered last; draws nothing.

import { get } from './ask.js';

/** Between two questions, ms. */
const EVERY = 2000;

let rows = [];
let asked = -EVERY;
let reading = false;

/** How many there are. */
export const count = (summary) => summary.counts?.interfaces ?? summary.interfaces?.length ?? 0;

/** All that are known: those of the summary, and the others as they were told last. */
export function known(summary) {
  const fresh = summary.interfaces ?? [];
  const others = count(summary) > fresh.length ? without(fresh) : [];
  return others.length ? [...fresh, ...others].sort((a, b) => a.index - b.index) : fresh;
}

function without(fresh) {
  const there = new Set(fresh.map((row) => row.index));
  return rows.filter((row) => !there.has(row.index));
}

/** Asks for the others if there are any and it is time; calls `done` with them. */
export async function ask(summary, done) {
  const complete = count(summary) <= (summary.interfaces?.length ?? 0);
  if (complete || reading || performance.now() - asked < EVERY) return;
  reading = true;
  try {
    rows = (await get('/api/interfaces')).interfaces.map(summed);
    done(without(summary.interfaces));
  } catch {
    // What the stream says stays; a server that is gone is told of elsewhere.
  } finally {
    asked = performance.now();
    reading = false;
  }
}

/** Forgets them: nobody looks any more. */
export function forget() {
  rows = [];
  asked = -EVERY;
}

/** A row of a record with its classes as a summary has them. */
function summed(row) {
  if (!row.sampled) return row;
  const { tx, rx } = row.sampled;
  const classes = Object.keys(tx)
    .filter((name) => name !== 'frames')
    .map((name) => ({ class: name, tx_rate: tx[name].rate, rx_rate: rx[name].rate }));
  return { ...row, sampled: { ...row.sampled, classes } };
}
