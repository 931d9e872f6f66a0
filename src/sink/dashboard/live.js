// The stream of summaries: opened, read, and opened again after it broke.
// Owns the connection and its state; what a summary means is the others' business.
// `fetch` and not EventSource, since that cannot send a token.

import { ask, Denied } from './ask.js';

const PATH = '/api/events?view=summary';
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10000;
// Without a reading for so long something is wrong, ms; later it is judged by the interval.
const SILENCE = 30000;
const GRACE = 10000;

let tell = () => {};
let show = () => {};
let controller = null;
let wait = FIRST_WAIT;
let timer = 0;
let silence = 0;
let patience = SILENCE;
let last = null;
let arrived = 0;

/** Starts; `summary` gets the data of each new reading, `state` a name and seconds to
    wait, or the time of the last reading. */
export function start(summary, state) {
  tell = summary;
  show = state;
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) pause();
    else restart();
  });
  restart();
}

/** Opens the stream now, for example with a new token. */
export function restart() {
  stop();
  wait = FIRST_WAIT;
  if (document.hidden) return;
  show('connecting');
  open();
}

function stop() {
  clearTimeout(timer);
  clearTimeout(silence);
  controller?.abort();
  controller = null;
}

// Nobody looks, so nobody is bothered.
function pause() {
  stop();
  show('paused');
}

async function open() {
  const mine = new AbortController();
  controller = mine;
  watch();
  try {
    const response = await ask(PATH, {
      signal: mine.signal,
      headers: { Accept: 'text/event-stream' },
    });
    await read(response.body.getReader(), mine);
  } catch (error) {
    if (controller !== mine) return;
    if (error instanceof Denied) {
      stop();
      show('denied');
      return;
    }
  }
  if (controller !== mine) return;
  show('reconnecting', wait / 1000);
  again();
}

/** Waits for the next reading. That the server says it is alive is none. */
function watch() {
  clearTimeout(silence);
  silence = setTimeout(() => {
    show('silent', last?.time);
    again();
  }, patience);
}

function again() {
  stop();
  timer = setTimeout(open, wait);
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

async function read(reader, mine) {
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done || mine !== controller) return;
    text += decoder.decode(value, { stream: true });
    // Events end with an empty line; lines may end in any of three ways.
    const events = text.split(/\r\n\r\n|\n\n|\r\r/);
    text = events.pop();
    for (const event of events) take(event);
  }
}

function take(event) {
  let name = 'message';
  const data = [];
  for (const line of event.split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') name = value;
    else if (field === 'data') data.push(value);
  }
  if (name !== 'summary' || !data.length) return;
  const summary = JSON.parse(data.join('\n'));
  // A stream begins with the latest reading, which may be known already.
  if (summary.time === last?.time) {
    const fresh = performance.now() - arrived < patience;
    show(fresh ? 'live' : 'silent', last.time);
    return;
  }
  last = summary;
  arrived = performance.now();
  wait = FIRST_WAIT;
  patience = 3000 * summary.interval_seconds + GRACE;
  watch();
  show('live');
  tell(summary);
}
