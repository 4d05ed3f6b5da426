/** Amounts of units and tokens: whole numbers of at least 0 that a sum holds exactly. */
import type { HoldPart } from './bucket.ts';
import type { Charge, FlatCharge } from './store.ts';

function isAmount(value: number | undefined): boolean {
  return value !== undefined && value >= 0 && Number.isSafeInteger(value);
}

export function checkTokens(want: number, least: number): void {
  if (!isAmount(want) || !isAmount(least)) {
    throw new Error('invariant: tokens must be whole numbers of at least 0');
  }
}

/** Whether a charge has a valid amount for every part of a hold. */
export function isPossible(charge: Charge | FlatCharge, parts: readonly HoldPart[]): boolean {
  return typeof charge === 'string' || parts.every(({ index }) => isAmount(charge.amounts[index]));
}

/** Returns what a possible charge costs in the window of a part. */
export function costOf({ window, held, index }: HoldPart, charge: Charge | FlatCharge): number {
  if (window.returnsHolds) {
    return 0;
  }
  switch (charge) {
    case 'nothing':
      return 0;
    case 'everything':
      return held;
    default:
      return charge.amounts[index]!;
  }
}
