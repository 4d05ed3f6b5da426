/**
 * Amounts of money as exact integers. Amounts count nano-units of a currency (10⁻⁹), and prices
 * nano-units per million tokens, so a decimal number with nine places stays exact in both.
 */

const DECIMAL_PLACES = 9;
const NANO_UNITS = 10 ** DECIMAL_PLACES;

/**
 * Converts a decimal number of at most nine places to nano-units. Exact below 9,007,199 units,
 * which the schemas of the resources guarantee.
 */
export function nanoUnits(decimal: string): number {
  const [whole = '', places = ''] = decimal.split('.');
  return Number(whole) * NANO_UNITS + Number(places.padEnd(DECIMAL_PLACES, '0'));
}

/** Returns nano-units as units of the currency, rounded: for metrics only. */
export function currencyUnits(nanos: number): number {
  return nanos / NANO_UNITS;
}

/** Writes nano-units as a decimal number without trailing zeros. */
export function decimalText(nanos: number): string {
  const rest = nanos % NANO_UNITS;
  const whole = String((nanos - rest) / NANO_UNITS);
  return rest === 0 ? whole : `${whole}.${String(rest).padStart(DECIMAL_PLACES, '0').replace(/0+$/, '')}`;
}

/** Adds decimal numbers of at most nine places, of any size. */
export function addDecimals(one: string, other: string): string {
  const nanos = String(bigNanos(one) + bigNanos(other)).padStart(DECIMAL_PLACES + 1, '0');
  const places = nanos.slice(-DECIMAL_PLACES).replace(/0+$/, '');
  const whole = nanos.slice(0, -DECIMAL_PLACES);
  return places === '' ? whole : `${whole}.${places}`;
}

function bigNanos(decimal: string): bigint {
  const [whole = '', places = ''] = decimal.split('.');
  return BigInt(whole + places.padEnd(DECIMAL_PLACES, '0'));
}
