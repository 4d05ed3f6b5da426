/** Reads access lines of a team at the Gateway `ai` of a namespace. */
import { type AccessRecord, accessRecord } from '../../data-plane/support/records.ts';
import { waitFor } from '../../data-plane/support/wait.ts';
import { sidecarLog } from './reach.ts';

/** Waits until there are `count` access lines. */
export function recordsOf(namespace: string, team: string, count = 1): Promise<readonly AccessRecord[]> {
  return waitFor(
    `${count} access records of ${team}`,
    async () => {
      const lines = (await sidecarLog(namespace, 'ai')).split('\n').map(accessRecord);
      const found = lines.filter((each) => each?.keys.includes(team)) as readonly AccessRecord[];
      return found.length >= count && found;
    },
    10_000,
  );
}
