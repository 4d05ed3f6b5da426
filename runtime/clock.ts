/**
 * Milliseconds since 1970, with fractions: for durations as well as for the calendar. Set by the
 * machine's clock once a second, which the monotonic one leaves when a laptop sleeps.
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
