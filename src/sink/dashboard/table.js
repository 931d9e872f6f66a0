// A table whose rows stay the same elements while their numbers change.
// Owns order, focus and keys; knows nothing of what the rows are.

import { make, mark, say } from './dom.js';

/** Rows of `{key, href, title, detail, tip, cells: [text], tx, rx, dim, hot}`. */
export class Table {
  /**
   * Draws into `box`. `columns` are the headings, the first of what the row is.
   * `shown` is how many rows there are at most, `empty` what is said of none.
   */
  constructor(box, { label, columns, shown = 10, empty }) {
    this.rows = new Map();
    this.shown = shown;
    this.holds = false;
    this.body = make('tbody');
    this.heads = columns.map((text, at) => make('th', { scope: 'col', text, class: at ? 'number' : null }));
    this.table = make('table', { class: 'list', 'aria-label': label },
      make('thead', {}, make('tr', {}, ...this.heads)), this.body);
    this.empty = make('p', { class: 'empty', text: empty });
    box.replaceChildren(this.table, this.empty);
    // Under the pointer or the focus rows change their numbers but not their places.
    box.addEventListener('pointerenter', () => { this.holds = true; });
    box.addEventListener('pointerleave', () => { this.holds = this.table.contains(document.activeElement); });
    box.addEventListener('focusin', () => { this.holds = true; });
    box.addEventListener('focusout', (event) => { this.holds = box.contains(event.relatedTarget); });
    this.table.addEventListener('keydown', (event) => this.key(event));
    this.table.addEventListener('click', (event) => {
      const link = event.target.closest('tr')?.querySelector('a');
      if (link && !event.target.closest('a')) link.click();
    });
  }

  /** Other words at the head of the columns. */
  head(columns) {
    columns.forEach((text, at) => say(this.heads[at], text));
  }

  /** Shows `rows`, largest first; `empty` replaces what is said of none. */
  set(rows, empty) {
    const list = this.order(rows).slice(0, this.shown);
    const top = Math.max(1, ...list.map((row) => row.tx + row.rx));
    const keys = new Set(list.map((row) => row.key));
    for (const [key, parts] of this.rows) {
      if (keys.has(key)) continue;
      parts.line.remove();
      this.rows.delete(key);
    }
    const focused = document.activeElement;
    let place = this.body.firstChild;
    for (const row of list) {
      const parts = this.rows.get(row.key) ?? this.create(row);
      this.fill(parts, row, top);
      if (parts.line === place) place = place.nextSibling;
      else this.body.insertBefore(parts.line, place);
    }
    // A row that was moved has lost the focus.
    if (focused !== document.activeElement && this.body.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    this.reach();
    this.table.hidden = !list.length;
    this.empty.hidden = Boolean(list.length);
    if (empty !== undefined) say(this.empty, empty);
  }

  /** As given; or first those that are there, in their places. */
  order(rows) {
    if (!this.holds) return rows;
    const places = new Map([...this.rows.keys()].map((key) => [key, [...this.body.children].indexOf(this.rows.get(key).line)]));
    const place = (row) => places.get(row.key) ?? Infinity;
    return rows.map((row, at) => [place(row), at, row])
      .sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] - b[0]))
      .map(([, , row]) => row);
  }

  create(row) {
    const title = row.href ? make('a', { href: row.href, tabindex: -1 }) : make('span');
    title.classList.add('title');
    const detail = make('span', { class: 'detail' });
    const [tx, rx] = ['tx', 'rx'].map((name) => make('i', { class: name }));
    const cells = row.cells.map(() => make('td', { class: 'number' }));
    const line = make('tr', {},
      make('th', { scope: 'row' }, make('span', { class: 'who' }, title, detail),
        make('span', { class: 'share', 'aria-hidden': 'true' }, tx, rx)),
      ...cells);
    const parts = { line, title, detail, tx, rx, cells };
    this.rows.set(row.key, parts);
    return parts;
  }

  fill(parts, row, top) {
    say(parts.title, row.title);
    say(parts.detail, row.detail ?? '');
    parts.line.title = row.tip ?? '';
    parts.cells.forEach((cell, at) => {
      say(cell, row.cells[at]);
      mark(cell, 'data-still', /^0 /.test(row.cells[at]));
    });
    parts.tx.style.width = `${(100 * row.tx) / top}%`;
    parts.rx.style.width = `${(100 * row.rx) / top}%`;
    mark(parts.line, 'data-dim', row.dim);
    mark(parts.line, 'data-hot', row.hot);
  }

  links() {
    return [...this.body.querySelectorAll('a')];
  }

  /** One row of the table is a stop of the Tab key, the others are reached by arrows. */
  reach() {
    const links = this.links();
    const stop = links.find((link) => link === document.activeElement)
      ?? links.find((link) => link.tabIndex === 0) ?? links[0];
    for (const link of links) link.tabIndex = link === stop ? 0 : -1;
  }

  key(event) {
    const links = this.links();
    const at = links.indexOf(document.activeElement);
    if (at < 0) return;
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    links[Math.max(0, Math.min(links.length - 1, next))].focus();
    this.reach();
  }
}
