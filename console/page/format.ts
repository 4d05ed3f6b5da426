/** How the page shows amounts and times, in the reader's own language and time zone. */
import type { BudgetRow } from '../api/source.ts';

const whole = new Intl.NumberFormat();
const minute = { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' } as const;
const second = { ...minute, second: '2-digit' } as const;
const minuteForms = formsOf(minute);
const secondForms = formsOf(second);

export function shownNumber(amount: number): string {
  return whole.format(amount);
}

const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const smallMoney = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 6 });

/** Shows two decimals, and up to six of amounts below one. */
export function shownMoney(amount: number, currency: string): string {
  const format = amount !== 0 && Math.abs(amount) < 1 ? smallMoney : money;
  return `${format.format(amount)} ${currency}`;
}

/** Amounts of money are decimal numbers in text. */
export function shownAmount(amount: number | string, currency: string | undefined): string {
  return currency === undefined ? shownNumber(Number(amount)) : shownMoney(Number(amount), currency);
}

export function shownTime(iso: string): string {
  return shownDate(iso, secondForms);
}

export function shownMinute(iso: string): string {
  return shownDate(iso, minuteForms);
}

interface DateForms {
  readonly inThisYear: Intl.DateTimeFormat;
  readonly inAnyYear: Intl.DateTimeFormat;
}

function formsOf(parts: Intl.DateTimeFormatOptions): DateForms {
  return {
    inThisYear: new Intl.DateTimeFormat(undefined, parts),
    inAnyYear: new Intl.DateTimeFormat(undefined, { ...parts, year: 'numeric' }),
  };
}

/** Shows the year only if it is another one. */
function shownDate(iso: string, { inThisYear, inAnyYear }: DateForms): string {
  const date = new Date(iso);
  return (date.getFullYear() === new Date().getFullYear() ? inThisYear : inAnyYear).format(date);
}

/** Shows what a budget is of, such as `Tenant red, User ada`. */
export function budgetOwner({ key, keyNames }: Pick<BudgetRow, 'key' | 'keyNames'>): string {
  return key.map((value, nth) => `${keyNames[nth] ?? 'key'} ${value}`).join(', ');
}

/** Returns how much of a budget is spent or held; more than 100 where it is exceeded. */
export function usedPercent({ spent, held, limit }: Pick<BudgetRow, 'spent' | 'held' | 'limit'>): number {
  return Math.floor((100 * (Number(spent) + Number(held))) / Math.max(Number(limit), Number.MIN_VALUE));
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
