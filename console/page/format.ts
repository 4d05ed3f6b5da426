/** How the page shows amounts and times, in the reader's own language and time zone. */

const whole = new Intl.NumberFormat();
const time = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const short = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export function shownNumber(amount: number): string {
  return whole.format(amount);
}

/** Shows at least two decimals, and more for small amounts. */
export function shownMoney(amount: number, currency: string): string {
  const digits = amount !== 0 && Math.abs(amount) < 1 ? 6 : 2;
  return `${amount.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: digits })} ${currency}`;
}

/** Amounts of money are decimal numbers in text. */
export function shownAmount(amount: number | string, currency: string | undefined): string {
  return currency === undefined ? shownNumber(Number(amount)) : shownMoney(Number(amount), currency);
}

export function shownTime(iso: string): string {
  return time.format(new Date(iso));
}

export function shownMinute(iso: string): string {
  return short.format(new Date(iso));
}

/** Shows for how long something has lasted, such as `2 min 5 s`. */
export function shownAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours > 0) {
    return `${hours} h ${minutes % 60} min`;
  }
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** Shows names such as tenant and user, the ones that there are. */
export function shownOwner({
  tenant,
  user,
  key,
}: {
  readonly tenant?: string | undefined;
  readonly user?: string | undefined;
  readonly key?: string | undefined;
}): string {
  return [tenant, user ?? key].filter((name) => name !== undefined && name !== '').join(' / ') || '–';
}
