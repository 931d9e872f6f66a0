// Amounts, rates and times as people read them, in the words of the terminal.
// Owns formatting; decides nothing about where it is shown.

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
const BITS = ['bit', 'kbit', 'Mbit', 'Gbit', 'Tbit', 'Pbit', 'Ebit'];

/** `1.4 MiB` or `532 B`: tenths of the largest prefix that leaves one whole. */
function quantity(value, kilo, names) {
  if (value < kilo) return `${Math.floor(value)} ${names[0]}`;
  let prefix = 1;
  let divisor = kilo;
  while (prefix < names.length - 1 && value / divisor >= kilo) {
    divisor *= kilo;
    prefix += 1;
  }
  let tenths = Math.floor((value * 10) / divisor);
  const rest = ((value * 10) % divisor) * 2;
  // Half goes to the even tenth, as in the terminal.
  if (rest > divisor || (rest === divisor && tenths % 2 === 1)) tenths += 1;
  // 1024.0 KiB is 1.0 MiB.
  if (tenths >= kilo * 10 && prefix < names.length - 1) {
    tenths = 10;
    prefix += 1;
  }
  return `${Math.floor(tenths / 10)}.${tenths % 10} ${names[prefix]}`;
}

/** An amount given in bytes. */
export function amount(bytes, unit) {
  const value = Number(bytes) || 0;
  return unit === 'bits' ? quantity(value * 8, 1000, BITS) : quantity(value, 1024, BYTES);
}

/** A rate given in bytes per second. */
export function rate(perSecond, unit) {
  const value = Math.max(0, Number(perSecond) || 0);
  const whole = unit === 'bits' ? Math.floor(value * 8 + 0.5) / 8 : Math.floor(value + 0.5);
  return `${amount(whole, unit)}/s`;
}

/** A rate on an axis: `20 MiB/s`, without tenths that say nothing. */
export function tick(perSecond, unit) {
  return rate(perSecond, unit).replace('.0 ', ' ');
}

/** Distances between ticks that read well in a unit, in bytes per second. */
export function tickSteps(unit) {
  const [kilo, factors, scale] = unit === 'bits'
    ? [1000, [1, 2, 5, 10, 20, 50, 100, 200, 500], 8]
    : [1024, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512], 1];
  const steps = [];
  for (let power = 0; power < 5; power += 1) {
    for (const factor of factors) steps.push((factor * kilo ** power) / scale);
  }
  return steps;
}

/** `12.3 %`; below a tenth `< 0.1 %`. */
export function percent(share) {
  if (share > 0 && share < 0.1) return '< 0.1 %';
  return `${share >= 99.95 || share === 0 ? Math.round(share) : share.toFixed(1)} %`;
}

const two = (number) => String(number).padStart(2, '0');
const DAY = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

/** `14:03` or `14:03:20` in the local zone. */
export function clock(date, seconds = true) {
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return seconds ? `${text}:${two(date.getSeconds())}` : text;
}

/** `Nov 21` in the local zone. */
export const day = (date) => DAY.format(date);

/** A time as short as its distance from `now` allows, local. */
export function moment(date, now = new Date()) {
  if (date.toDateString() === now.toDateString()) return clock(date);
  return `${day(date)} ${clock(date, false)}`;
}

/** `42 s`, `3 min`, `2 h 5 min`, `3 d`. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours < 48) return minutes && hours < 10 ? `${hours} h ${minutes} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}
