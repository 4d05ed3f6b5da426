/** How a request failed: the value of `error.type`. */
import type { RequestRecord } from '../record.ts';

/** Returns undefined for a success. */
export function errorType({ failure, status, clientLeft, broken }: RequestRecord): string | undefined {
  if (failure !== undefined) {
    return failure.code;
  }
  if (clientLeft) {
    return 'client_left';
  }
  if (broken !== undefined) {
    return 'backend_broke_off';
  }
  if (status === undefined) {
    return 'no_answer';
  }
  return status >= 400 ? String(status) : undefined;
}
