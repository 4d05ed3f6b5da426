/** Valid names seen so far. */
const known = new Set<string>();

/**
 * Returns whether the name is a time zone of the IANA database. Offsets such as `+01:00` are none:
 * a calendar with them would ignore summer time.
 */
export function isTimeZone(name: string): boolean {
  if (known.has(name)) {
    return true;
  }
  if (!/^[A-Za-z]/.test(name)) {
    return false;
  }
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
  } catch {
    return false;
  }
  known.add(name);
  return true;
}
