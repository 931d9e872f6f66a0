// A stacked area chart over time, a line of the last minute, and one of the last few.
// Owns drawing, the cursor and the tooltip; asks nobody for data.
// uPlot is a classic script, so it is a name of the window.

import { color, faded, make, say } from './dom.js';
import { clock, day, rate, tick, tickSteps } from './units.js';

const AXIS_FONT = '11px system-ui, sans-serif';

/** Areas on top of each other, the first at the bottom; see `set`. */
export class Stack {
  /** Draws into `box`, a positioned element. */
  constructor(box) {
    this.box = box;
    this.plot = null;
    this.shown = '';
    this.tip = make('div', { class: 'tip', hidden: true });
    this.message = make('p', { class: 'empty', hidden: true });
    box.append(this.tip, this.message);
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(box);
    box.addEventListener('keydown', (event) => this.key(event));
    box.addEventListener('blur', () => this.plot?.setCursor({ left: -10, top: -10 }));
  }

  /**
   * Shows `data`: `points` [{start, seconds}], `series` [{label, color (of the style
   * sheet), values (bytes/s by point)}], `from`, `to`, `unit`, and `empty`, what to say
   * in place of no traffic.
   */
  set(data) {
    this.data = data;
    const sums = data.points.map(() => 0);
    const layers = data.series.map(({ values }) => values.map((value, at) => (sums[at] += value)));
    this.sums = sums;
    const nothing = !sums.some((sum) => sum > 0);
    say(this.message, nothing ? data.empty : '');
    this.message.hidden = !nothing;
    const shown = [data.unit, ...data.series.map((one) => `${one.label} ${one.color}`)].join('\n');
    const drawn = [edged(data.points, middle, begin, end), ...layers.map((layer) => edged(layer))];
    if (this.plot && shown === this.shown) {
      this.plot.setData(drawn);
      return;
    }
    this.shown = shown;
    this.plot?.destroy();
    this.plot = new window.uPlot(this.options(), drawn, this.box);
  }

  /** Ends it: what is drawn and what listens for sizes; `box` is done with, too. */
  destroy() {
    this.sizes.disconnect();
    this.plot?.destroy();
    this.plot = null;
    this.data = null;
  }

  /** Draws anew with the colours of the theme. */
  repaint() {
    this.shown = '';
    if (this.data) this.set(this.data);
  }

  /** Dims all but one series; `null` ends it. */
  focus(index) {
    this.plot?.setSeries(index === null ? null : index + 1, { focus: true });
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (this.plot && width && height) this.plot.setSize({ width, height });
  }

  options() {
    const { series, unit } = this.data;
    const [muted, line, card] = ['--muted', '--line', '--card'].map(color);
    const axis = { stroke: muted, font: AXIS_FONT, ticks: { show: false } };
    return {
      width: this.box.clientWidth || 300,
      height: this.box.clientHeight || 240,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.2 },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: true, range: () => [this.data.from, this.data.to] },
        y: { range: (_, __, top) => [0, Math.max(top * 1.08, 1024)] },
      },
      axes: [
        { ...axis, size: 26, grid: { show: false }, space: 70, values: (_, times, __, ___, step) => labels(times, step) },
        {
          ...axis,
          size: 74,
          gap: 4,
          space: 38,
          incrs: tickSteps(unit),
          grid: { stroke: line, width: 1 },
          values: (_, values) => values.map((value) => tick(value, unit)),
        },
      ],
      series: [
        {},
        ...series.map((one) => {
          const tone = color(one.color);
          return { label: one.label, stroke: card, width: 1, fill: faded(tone, 0.88), points: { show: false } };
        }),
      ],
      // Each area ends where the one below it begins.
      bands: series.slice(1).map((_, at) => ({ series: [at + 2, at + 1] })),
      hooks: { setCursor: [(plot) => this.hover(plot)] },
    };
  }

  hover(plot) {
    const { idx, left } = plot.cursor;
    const data = this.data;
    const point = this.pointAt(idx);
    if (point === null || left < 0) {
      this.tip.hidden = true;
      return;
    }
    const rows = data.series
      .map((one) => ({ ...one, value: one.values[point] }))
      .filter((one) => one.value > 0)
      .reverse();
    const when = new Date(data.points[point].start * 1000);
    const far = data.to - data.from > 36 * 3600;
    const title = `${far ? `${day(when)} ` : ''}${clock(when, !far)}`;
    const line = (row) => {
      const swatch = make('i', { class: 'swatch' });
      swatch.style.background = `var(${row.color})`;
      return make('li', {}, swatch, make('span', { text: row.label }),
        make('b', { text: rate(row.value, data.unit) }));
    };
    this.tip.replaceChildren(
      make('p', {}, make('span', { text: title }), make('b', { text: rate(this.sums[point], data.unit) })),
      make('ul', {}, ...rows.map(line)),
    );
    this.tip.hidden = false;
    const at = left + plot.over.offsetLeft;
    const room = this.box.clientWidth - this.tip.offsetWidth;
    const beside = at + 14 > room ? at - this.tip.offsetWidth - 14 : at + 14;
    this.tip.style.left = `${Math.max(0, Math.min(beside, room))}px`;
  }

  /** Which point is drawn there; `null` if none is. */
  pointAt(idx) {
    const last = this.data.points.length - 1;
    return last < 0 || idx === null || idx === undefined ? null : Math.max(0, Math.min(last, idx - 1));
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const points = this.data?.points ?? [];
    if (!step || !this.plot || !points.length) return;
    event.preventDefault();
    const last = points.length - 1;
    const at = this.plot.cursor.left >= 0 ? this.pointAt(this.plot.cursor.idx) ?? last : last + 1;
    const next = Math.max(0, Math.min(last, at + step));
    this.plot.setCursor({ left: this.plot.valToPos(middle(points[next]), 'x'), top: 0 });
  }
}

const begin = ({ start }) => start;
const middle = ({ start, seconds }) => start + seconds / 2;
const end = ({ start, seconds }) => start + seconds;

/** What is drawn of points: each in its middle, the first from its begin and the last
    until its end, so that one alone has a width too. */
function edged(points, each = same, first = same, last = same) {
  return points.length ? [first(points[0]), ...points.map(each), last(points.at(-1))] : [];
}

const same = (value) => value;

function labels(times, step) {
  return times.map((time) => {
    const date = new Date(time * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    if (step >= 86400 || (midnight && step >= 3600)) return day(date);
    return clock(date, step < 60);
  });
}

/** The last minute of a rate as a line in an `svg` with two paths. */
export class Spark {
  constructor(svg) {
    [this.area, this.line] = ['.area', '.line'].map((name) => svg.querySelector(name));
    this.values = [];
  }

  /** Adds a rate measured at `time` (seconds). */
  push(time, value) {
    this.values.push([time, value]);
    // One beyond the edge stays, so that the line begins at it.
    while (this.values.length > 2 && this.values[1][0] < time - 60) this.values.shift();
    const from = Math.max(time - 60, this.values[0][0]);
    const length = Math.max(time - from, 1);
    const top = Math.max(1, ...this.values.map(([, one]) => one));
    const points = this.values.map(([at, one]) => {
      const x = Math.max(0, ((at - from) / length) * 120);
      return `${x.toFixed(1)},${(38 - (one / top) * 34).toFixed(1)}`;
    });
    const path = `M${points.join('L')}`;
    this.line.setAttribute('d', path);
    this.area.setAttribute('d', `${path}L120,40L${points[0].split(',')[0]},40Z`);
  }
}

/** Seconds of a step of a trace. */
const STEP = 2;
/** Seconds that a trace shows. */
export const TRACED = 180;

/** Both directions of the last three minutes as lines in an `svg` of its own. */
export class Trace {
  constructor() {
    const element = (name, properties = {}) => {
      const made = document.createElementNS('http://www.w3.org/2000/svg', name);
      for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
      return made;
    };
    this.lines = ['rx', 'tx'].map((name) => element('path', { class: name }));
    this.svg = element('svg', {
      class: 'trace', viewBox: '0 0 120 28', preserveAspectRatio: 'none', 'aria-hidden': 'true',
    });
    this.svg.append(...this.lines);
    this.steps = [];
  }

  /** Adds rates over `seconds` until `time` (seconds); draws when a step is over. */
  push(time, seconds, tx, rx) {
    const start = Math.floor(time / STEP) * STEP;
    let step = this.steps.at(-1);
    const isNew = !step || step.start !== start;
    if (isNew) {
      step = { start, seconds: 0, tx: 0, rx: 0 };
      this.steps.push(step);
      while (this.steps[0].start < start - TRACED) this.steps.shift();
    }
    step.seconds += seconds;
    step.tx += tx * seconds;
    step.rx += rx * seconds;
    if (isNew) this.draw(start);
  }

  /** Puts steps of before the first one in front: [{start, seconds, tx, rx (bytes)}]. */
  before(steps) {
    const first = this.steps[0]?.start ?? Infinity;
    this.steps.unshift(...steps.filter((step) => step.start < first));
  }

  /** True if nothing was added in the minutes before `time` that it shows. */
  isOver(time) {
    return !this.steps.length || this.steps.at(-1).start < time - TRACED;
  }

  draw(now) {
    // The step that has begun is drawn when it is over; the first one as it is.
    const over = this.steps.length > 1 ? this.steps.slice(0, -1) : this.steps;
    const values = (name) => over.map((step) => step[name] / (step.seconds || 1));
    const [rx, tx] = ['rx', 'tx'].map(values);
    const top = Math.max(1024, ...rx, ...tx);
    [rx, tx].forEach((line, at) => {
      const points = line.map((value, place) => {
        const x = 120 - ((now - over[place].start) / TRACED) * 120;
        return `${x.toFixed(1)},${(27 - (value / top) * 25).toFixed(1)}`;
      });
      this.lines[at].setAttribute('d', `M${points.join('L')}`);
    });
  }
}
