// The chart of all traffic by process over the chosen window, and its legend.
// Owns what is asked, merged and coloured; charts.js draws it.

import { by, make, say } from './dom.js';
import { past, Refused } from './ask.js';
import { Stack } from './charts.js';
import { recorded } from './points.js';
import { chosenWindow, prefs } from './prefs.js';
import { processHash } from './route.js';
import { begin, since as recent, SLOT } from './recent.js';
import { amount } from './units.js';

/** Processes with an area of their own. */
const KEYS = 8;
const OTHER = 'other';
/** Least that is shown of what this page has seen itself, seconds. */
const LEAST = 60;

let stack = null;
let history = null;
let off = false;
let asked = 0;
const colors = new Map();

/** Prepares the chart. */
export function start() {
  stack = new Stack(by('chart'));
  const legend = by('legend');
  const focus = (event) => {
    const item = event.target.closest('li');
    stack.focus(item ? Number(item.dataset.index) : null);
  };
  legend.addEventListener('pointerover', focus);
  legend.addEventListener('focusin', focus);
  for (const name of ['pointerleave', 'focusout']) {
    legend.addEventListener(name, () => stack.focus(null));
  }
}

/** Colours changed. */
export const repaint = () => stack.repaint();

/** Asks for the window's history. */
export async function refresh(now) {
  const mine = (asked += 1);
  const { seconds, step } = chosenWindow();
  try {
    const since = new Date((now - seconds) * 1000).toISOString();
    const answer = await past('/api/timeseries', { since, step: `${step}s`, by: 'process', limit: KEYS });
    if (mine !== asked) return;
    off = false;
    history = read(answer, now);
    note('');
  } catch (error) {
    if (mine !== asked) return;
    if (!(error instanceof Refused)) return;
    off = true;
    history = null;
    note(`${sentence(error.message)} The chart shows what this page has seen since it was opened.`);
  }
  draw(now);
}

/** The server's words as a sentence of a text. */
function sentence(words) {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function note(text) {
  say(by('chart-note'), text);
  by('chart-note').hidden = !text;
}

/** An answer as points whose bytes are all there; a bucket may still be open. */
function read(answer, now) {
  const points = recorded(answer, now).map(({ at, start, seconds }) => {
    const parts = new Map();
    for (const one of answer.series ?? []) {
      const [tx, rx] = [one.tx_bytes[at], one.rx_bytes[at]];
      const key = one.key || 'unknown';
      const part = parts.get(key) ?? { tx: 0, rx: 0 };
      if (tx || rx) parts.set(key, { tx: part.tx + tx, rx: part.rx + rx });
    }
    return { start, seconds, parts };
  });
  const last = points.at(-1);
  return { step: answer.step_seconds, points, end: last ? last.start + last.seconds : null };
}

function merged(from, to) {
  if (off) return recent(Math.max(from, begin() ?? from), SLOT);
  if (!history) return [];
  const { points, step, end } = history;
  if (step > 10) return points;
  const first = Math.floor(from / 10) * 10;
  const tail = recent(end ?? first, step).filter((point) => point.start < to && point.seconds >= 1);
  return [...points.filter((point) => point.start + step > from), ...tail];
}

/** Draws the window that ends `now` (seconds). */
export function draw(now) {
  const { seconds } = chosenWindow();
  // Without a history there is nothing before this page.
  const seen = off ? Math.max(LEAST, now - (begin() ?? now)) : seconds;
  const from = now - Math.min(seconds, seen);
  const points = merged(from, now);
  const value = ({ tx, rx }) => ({ both: tx + rx, tx, rx })[prefs.direction];
  const totals = new Map();
  for (const { parts } of points) {
    for (const [key, part] of parts) totals.set(key, (totals.get(key) ?? 0) + value(part));
  }
  const keys = largest(totals);
  paintKeys(keys);
  const rows = new Map([...keys, OTHER].map((key) => [key, points.map(() => 0)]));
  points.forEach((point, at) => {
    for (const [key, part] of point.parts) {
      (rows.get(key) ?? rows.get(OTHER))[at] += value(part) / point.seconds;
    }
  });
  const series = [...rows]
    .filter(([key, values]) => key !== OTHER || values.some((one) => one > 0))
    .map(([key, values]) => ({ label: key, color: colorOf(key), values }));
  stack.set({
    points,
    series,
    from,
    to: now,
    unit: prefs.unit,
    empty: history || off ? 'No traffic in this window yet.' : 'Reading the history …',
  });
  showLegend(series, totals);
  describe(keys);
}

function largest(totals) {
  return [...totals]
    .filter(([key, bytes]) => key !== OTHER && bytes > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, KEYS)
    .map(([key]) => key);
}

/** A process keeps its colour for as long as it is shown. */
function paintKeys(keys) {
  for (const key of colors.keys()) if (!keys.includes(key)) colors.delete(key);
  for (const key of keys) {
    if (colors.has(key)) continue;
    const used = new Set(colors.values());
    const free = [1, 2, 3, 4, 5, 6, 7, 8].find((number) => !used.has(number));
    colors.set(key, free);
  }
}

const colorOf = (key) => (key === OTHER ? '--other' : `--series-${colors.get(key)}`);

function showLegend(series, totals) {
  const legend = by('legend');
  const wanted = series.map((one) => one.label).join('\n');
  if (legend.dataset.shown !== wanted) {
    legend.dataset.shown = wanted;
    legend.replaceChildren(...series.map((one, index) => {
      const swatch = make('i', { class: 'swatch' });
      swatch.style.background = `var(${one.color})`;
      const words = [swatch, make('span', { class: 'name', text: one.label }), make('span', { class: 'sum' })];
      const inside = one.label === OTHER
        ? make('span', { class: 'key' }, ...words)
        : make('a', { class: 'key', href: processHash(one.label) }, ...words);
      return make('li', { 'data-index': index }, inside);
    }));
  }
  const rest = series.filter((one) => one.label !== OTHER).map((one) => one.label);
  let other = 0;
  for (const [key, bytes] of totals) if (!rest.includes(key)) other += bytes;
  series.forEach((one, index) => {
    const bytes = one.label === OTHER ? other : totals.get(one.label) ?? 0;
    say(legend.children[index].querySelector('.sum'), amount(Math.round(bytes), 'bytes'));
  });
}

function describe(keys) {
  const most = keys.slice(0, 3).join(', ') || 'no traffic';
  const text = `Traffic by process, ${chosenWindow().label}; most: ${most}. Left and right arrows read the points.`;
  if (by('chart').getAttribute('aria-label') !== text) by('chart').setAttribute('aria-label', text);
}
