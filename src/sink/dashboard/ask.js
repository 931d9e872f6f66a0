// Questions to the server that this page came from, with the token if there is one.
// Owns the token and what a failed answer means.

const KEY = 'netmon-token';
/** How long a history that is off is left alone, ms. */
const LEFT_ALONE = 20000;
/** How long an answer may take, ms. */
const PATIENCE = 15000;
/** How often the history is asked again when it is busy, and the longest wait, seconds. */
const TRIES = 3;
const LONGEST_WAIT = 5;

let denied = () => {};

/** The server wants a token, or another one. */
export class Denied extends Error {}

/** The server answered, but not with data; `message` is its own sentence. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The server has too much to do; what was answered before still holds. */
export class Busy extends Error {
  constructor(seconds) {
    super('The server is busy.');
    this.seconds = seconds;
  }
}

/** Calls `listener(hadToken)` whenever the server asks for a token. */
export const onDenied = (listener) => { denied = listener; };

/** Keeps a token for as long as the tab lives. */
export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** Asks; resolves to a response with a good status. */
export async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers, cache: 'no-store' });
  if (response.status === 401) {
    denied(Boolean(token));
    throw new Denied('The server asks for a token.');
  }
  const later = response.headers.get('Retry-After');
  if (response.status === 503 && later !== null) throw new Busy(Number(later) || 1);
  if (!response.ok) throw new Refused(response.status, await sentence(response));
  return response;
}

async function sentence(response) {
  try {
    const text = (await response.json()).error;
    if (typeof text === 'string' && text) return text;
  } catch {
    // Not netmon's JSON, for example from a proxy between.
  }
  return `The server answered ${response.status}.`;
}

/** Asks for JSON, not for ever. Parameters that are null or undefined are left out. */
export async function get(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null) query.set(name, value);
  }
  const text = query.toString();
  const signal = AbortSignal.timeout(PATIENCE);
  const response = await ask(text ? `${path}?${text}` : path, { signal });
  return response.json();
}

let off = null;

/** The same, and again in a moment if the server is busy. */
async function patiently(path, parameters) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await get(path, parameters);
    } catch (error) {
      if (!(error instanceof Busy) || tries === TRIES) throw error;
      const wait = 1000 * Math.min(error.seconds, LONGEST_WAIT);
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

/** Asks the history for JSON; where it is off, not again and again. */
export async function past(path, parameters) {
  if (off && performance.now() < off.until) throw off.refusal;
  try {
    const answer = await patiently(path, parameters);
    off = null;
    return answer;
  } catch (error) {
    if (error instanceof Refused && error.status === 503) {
      off = { until: performance.now() + LEFT_ALONE, refusal: error };
    }
    throw error;
  }
}
