/**
 * Returns a clock of milliseconds since 1970, with fractions, for durations and for calendar
 * windows. Once a second it is set to the machine's clock, from which the monotonic clock deviates
 * while a laptop sleeps.
 */

const SET_EVERY_MS = 1000;

export function newClock(): () => number {
  let offset = Date.now() - performance.now();
  const set = setInterval(() => {
    offset = Date.now() - performance.now();
  }, SET_EVERY_MS);
  set.unref();
  return () => offset + performance.now();
}
