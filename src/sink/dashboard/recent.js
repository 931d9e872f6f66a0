// What this page has seen itself since it was opened: bytes by process in short
// slots. Fills the end of the timeline that the history does not have yet, and all
// of it where there is no history. Owns the slots; draws nothing.

/** Seconds in a slot. Steps of the shortest window are a multiple of it. */
export const SLOT = 2;
const KEPT = 900 / SLOT;

const slots = [];

/** Adds the bytes of one interval. */
export function add(summary) {
  const time = Date.parse(summary.time) / 1000;
  const start = Math.floor(time / SLOT) * SLOT;
  let slot = slots.at(-1);
  if (!slot || slot.start < start) {
    slot = { start, seconds: 0, parts: new Map() };
    slots.push(slot);
    if (slots.length > KEPT) slots.shift();
  }
  const seconds = summary.interval_seconds;
  slot.seconds += seconds;
  let [tx, rx] = [summary.rates.tx_rate, summary.rates.rx_rate];
  for (const row of summary.processes) {
    tx -= row.tx_rate;
    rx -= row.rx_rate;
    put(slot.parts, row.name, row.tx_rate * seconds, row.rx_rate * seconds);
  }
  // What the rows left out; the rates are rounded, so a little may be missing.
  put(slot.parts, 'other', Math.max(0, tx) * seconds, Math.max(0, rx) * seconds);
}

function put(parts, key, tx, rx) {
  if (tx < 1 && rx < 1) return;
  const part = parts.get(key) ?? { tx: 0, rx: 0 };
  part.tx += tx;
  part.rx += rx;
  parts.set(key, part);
}

/** Slots from `since` on, put together to points of `step` seconds:
    [{start, seconds (that were seen), parts: Map of key to {tx, rx}}]. */
export function since(since, step) {
  const points = [];
  for (const slot of slots) {
    if (slot.start < since) continue;
    const start = since + Math.floor((slot.start - since) / step) * step;
    let point = points.at(-1);
    if (!point || point.start !== start) {
      point = { start, seconds: 0, parts: new Map() };
      points.push(point);
    }
    point.seconds += slot.seconds;
    for (const [key, { tx, rx }] of slot.parts) put(point.parts, key, tx, rx);
  }
  return points;
}

/** When the first slot began, seconds; `null` before that. */
export const begin = () => slots[0]?.start ?? null;
