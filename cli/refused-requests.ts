/**
 * The last refused requests, for `tallygate explain` and the console: in memory only, because many
 * may come.
 */
import type { Bounded, RefusedRequest } from '../console/api/source.ts';
import { isVisible, type Owner, type Viewer } from '../console/api/viewer.ts';
import type { Caller } from '../extproc/caller.ts';
import { withPlainMessage } from '../extproc/errors.ts';
import type { RequestRecord } from '../extproc/record.ts';

/** About 1 MB. */
const MAX_REFUSED = 1_000;
/** Of one answer. */
const MAX_LISTED = 100;

export class RefusedRequests {
  readonly #ring: RequestRecord[] = [];
  #next = 0;

  /** Notes a request that quotas, access or limits refused; ignores others. */
  add(record: RequestRecord): void {
    const { decision, failure, usage, broken } = record;
    const isOurs = decision.type === 'none' && usage === undefined && broken === undefined;
    if (decision.type === 'refused' || (isOurs && failure !== undefined)) {
      this.#ring[this.#next] = record;
      this.#next = (this.#next + 1) % MAX_REFUSED;
    }
  }

  /** Returns those with this id, newest first. */
  find(requestId: string): readonly RefusedRequest[] {
    return this.#newestFirst()
      .filter((record) => record.requestId === requestId)
      .map(explained);
  }

  /**
   * Returns the newest ones that the viewer may see; `plain`: with nothing of what the operator has
   * configured.
   */
  list(viewer: Viewer, plain: boolean): Bounded<RefusedRequest> {
    const visible = this.#newestFirst().filter(({ access }) => isVisible(ownerOf(access?.caller), viewer));
    const rows = visible.slice(0, MAX_LISTED).map(plain ? plainlyExplained : explained);
    return { rows, total: visible.length };
  }

  #newestFirst(): readonly RequestRecord[] {
    return [...this.#ring.slice(0, this.#next).reverse(), ...this.#ring.slice(this.#next).reverse()];
  }
}

/** Returns to whom the requests of a caller belong. */
export function ownerOf({ tenant, user, apiKey }: Partial<Caller> = {}): Owner {
  return {
    ...(tenant !== undefined && { tenant }),
    ...(user !== undefined && { user }),
    ...(apiKey !== undefined && { key: apiKey }),
  };
}

function plainlyExplained(record: RequestRecord): RefusedRequest {
  const { route: _, quota: __, limits: ___, ...others } = explained(record);
  const { failure } = record;
  return { ...others, ...(failure !== undefined && { message: withPlainMessage(failure).message }) };
}

function explained(record: RequestRecord): RefusedRequest {
  const { decision, failure, access, status, model, route } = record;
  const reason = decision.type === 'refused' ? decision.reason : failure?.code;
  return {
    time: new Date(record.endMs).toISOString(),
    requestId: record.requestId ?? '',
    decision: 'refused',
    ...(status !== undefined && { status }),
    ...ownerOf(access?.caller),
    ...(model !== undefined && { model }),
    ...(route !== undefined && { route }),
    ...(decision.type === 'refused' && { quota: decision.quota }),
    ...(reason !== undefined && { reason }),
    ...(failure !== undefined && { message: failure.message }),
    limits: record.buckets.map(({ quota, values }) => ({ quota: quota.id, key: values })),
  };
}
