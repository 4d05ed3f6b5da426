/** Seconds as a duration of Gateway API. */
export function durationText(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  if (ms % 1000 !== 0 && ms < 100_000) {
    return `${ms}ms`;
  }
  const whole = Math.min(Math.max(Math.round(seconds), 0), 99_999 * 3600);
  return whole <= 99_999 ? `${whole}s` : `${Math.ceil(whole / 3600)}h`;
}
