// Points of an answer as far as they are recorded.
// Owns which seconds a point's bytes are of; draws and asks nothing.

/** Buckets of so many seconds are written when they are over, a moment later. */
const BUCKET = 10;

/** The points of a timeline that the history has something of, each with its place `at`
    in the answer, when it begins (`start`, seconds) and of how many `seconds` its bytes
    are: the history may begin within the first one, and the last is not over at `now`. */
export function recorded(answer, now) {
  if (!answer.stored) return [];
  const begin = Date.parse(answer.stored.since) / 1000;
  const written = Math.floor((now - 1) / BUCKET) * BUCKET;
  return answer.points
    .map((point, at) => {
      const from = Date.parse(point.t) / 1000;
      const start = Math.max(from, begin);
      return { ...point, at, start, seconds: Math.min(from + answer.step_seconds, written) - start };
    })
    .filter((point) => point.seconds > 0);
}
