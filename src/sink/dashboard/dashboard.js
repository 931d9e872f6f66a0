// Brings the parts of the page together: stream, refreshes, keys, token.
// Owns when things happen; what they show is theirs.

import { by, say } from './dom.js';
import { onDenied, setToken } from './ask.js';
import * as events from './events.js';
import * as header from './header.js';
import * as interfaces from './interfaces.js';
import * as lists from './lists.js';
import * as live from './live.js';
import * as panel from './panel.js';
import * as prefs from './prefs.js';
import * as recent from './recent.js';
import * as timeline from './timeline.js';

/** The chart of the short window moves at most so often, ms. */
const MOVE = 1000;

let summary = null;
let arrived = 0;
let due = 0;
let moved = 0;

/** The server's time as far as it is known, seconds. */
function now() {
  if (!summary) return Date.now() / 1000;
  return Date.parse(summary.time) / 1000 + (performance.now() - arrived) / 1000;
}

function take(news) {
  const first = !summary;
  summary = news;
  arrived = performance.now();
  recent.add(news);
  header.push(news);
  interfaces.push(news);
  draw();
  if (first) refresh().then(() => interfaces.recall(now()));
  else if (performance.now() - moved >= MOVE) move();
}

function draw() {
  if (!summary) return;
  header.draw(summary);
  lists.draw(summary);
  interfaces.draw(summary);
  events.draw(summary, now());
  panel.draw(summary);
}

function move() {
  moved = performance.now();
  timeline.draw(now());
}

/** Asks the history again, and once more when its next bucket is written. */
async function refresh() {
  clearTimeout(due);
  const at = now();
  await Promise.allSettled([timeline.refresh(at), lists.refresh(at), events.refresh(at), panel.refresh(at)]);
  draw();
  const { refresh: every } = prefs.chosenWindow();
  // A bucket ends every ten seconds and is written a moment later.
  const wait = every - (now() % 10) + 1.5;
  clearTimeout(due);
  due = setTimeout(() => (document.hidden ? null : refresh()), 1000 * wait);
}

function changed(name) {
  if (name === 'theme') {
    timeline.repaint();
    panel.repaint();
    return;
  }
  if (name === 'window') labels();
  if (name === 'window' || name === 'mode') {
    if (name === 'window') lists.forget();
    refresh();
  }
  draw();
  move();
  panel.drawTimeline();
}

function labels() {
  say(by('mode').querySelector('[data-value=window]'), `Last ${prefs.chosenWindow().label}`);
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  if (target === by('filter') && event.key === 'Escape') {
    target.value = '';
    target.blur();
    draw();
    return;
  }
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || by('token').open) return;
  const choice = Object.keys(prefs.WINDOWS)[Number(event.key) - 1];
  if (choice) {
    prefs.choose('window', choice);
  } else if (event.key === '/' && !by('panel').open) {
    event.preventDefault();
    by('filter').focus();
    by('filter').select();
  }
}

function denied(hadToken) {
  const dialog = by('token');
  say(by('token-wrong'), hadToken ? 'That token was not accepted.' : '');
  if (!dialog.open) {
    by('token-input').value = '';
    dialog.showModal();
  }
}

function tokens() {
  onDenied(denied);
  by('token').addEventListener('cancel', (event) => event.preventDefault());
  by('token-form').addEventListener('submit', () => {
    setToken(by('token-input').value.trim());
    say(by('token-wrong'), '');
    live.restart();
    if (summary) refresh();
  });
}

prefs.start();
prefs.onChange(changed);
labels();
header.start();
timeline.start();
lists.start();
interfaces.start();
lists.draw(null);
events.draw(null, now());
tokens();
panel.start(now);
panel.show(now());
by('filter').addEventListener('input', draw);
document.addEventListener('keydown', key);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && summary) refresh();
});
live.start(take, header.state);
