/** Decides by the id of a request, so that all processes decide alike, and again. */
import { createHash } from 'node:crypto';

export function isSampled(requestId: string | undefined, percent: number): boolean {
  if (percent >= 100) {
    return true;
  }
  if (requestId === undefined) {
    return false;
  }
  const share = createHash('sha256').update(requestId).digest().readUInt32BE(0) / 2 ** 32;
  return share * 100 < percent;
}
