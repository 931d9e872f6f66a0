// What the person chose: theme, unit, direction, window, what the lists show.
// Owns the choices and where they are remembered; listeners do the work.

import { by, segments } from './dom.js';

/** Windows with the step asked for and how often it is worth asking again, seconds. */
export const WINDOWS = {
  '15m': { label: '15 min', seconds: 900, step: 10, refresh: 10 },
  '1h': { label: '1 h', seconds: 3600, step: 30, refresh: 30 },
  '24h': { label: '24 h', seconds: 86400, step: 300, refresh: 60 },
  '14d': { label: '14 d', seconds: 1209600, step: 3600, refresh: 300 },
};

const ACCEPTED = {
  unit: ['bytes', 'bits'],
  direction: ['both', 'tx', 'rx'],
  window: Object.keys(WINDOWS),
  mode: ['now', 'window'],
};

const listeners = new Set();
const choices = {};
for (const [name, values] of Object.entries(ACCEPTED)) {
  choices[name] = values.includes(read(name)) ? read(name) : values[0];
}

function read(name) {
  try {
    return localStorage.getItem(`netmon-${name}`);
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(`netmon-${name}`, value);
  } catch {
    // Not remembered then; it holds for this page.
  }
}

/** The choices as they are: `unit`, `direction`, `window` (id), `mode`. */
export const prefs = choices;

/** The chosen window. */
export const chosenWindow = () => WINDOWS[choices.window];

/** Calls `listener(name)` after each change; `theme` is a name too. */
export const onChange = (listener) => listeners.add(listener);

const shows = {};

/** Takes a choice; what is not accepted is ignored. */
export function choose(name, value) {
  if (!ACCEPTED[name].includes(value) || choices[name] === value) return;
  choices[name] = value;
  write(name, value);
  for (const show of shows[name] ?? []) show(value);
  for (const listener of listeners) listener(name);
}

const dark = matchMedia('(prefers-color-scheme: dark)');

const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : dark.matches;
};

function toggleTheme() {
  const theme = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  write('theme', theme);
  for (const listener of listeners) listener('theme');
}

/** Brings the buttons to life. */
export function start() {
  const groups = {
    unit: ['units'], direction: ['direction'], window: ['window', 'panel-window'], mode: ['mode'],
  };
  for (const [name, ids] of Object.entries(groups)) {
    shows[name] = ids.map((id) => segments(by(id), choices[name], (value) => choose(name, value)));
  }
  by('theme').addEventListener('click', toggleTheme);
  dark.addEventListener('change', () => {
    for (const listener of listeners) listener('theme');
  });
}
