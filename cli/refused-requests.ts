/** The last refused requests, for `tallygate explain`: in memory only, because many may come. */
import type { ExplainedRequest } from '../extproc/quota/usage-explain.ts';
import type { RequestRecord } from '../extproc/record.ts';

/** About 1 MB. */
const MAX_REFUSED = 1_000;

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
  find(requestId: string): readonly ExplainedRequest[] {
    const newestFirst = [...this.#ring.slice(0, this.#next).reverse(), ...this.#ring.slice(this.#next).reverse()];
    return newestFirst.filter((record) => record.requestId === requestId).map(explained);
  }
}

function explained(record: RequestRecord): ExplainedRequest {
  const { decision, failure, access, status, model, route } = record;
  const { tenant, user, apiKey } = access?.caller ?? {};
  const reason = decision.type === 'refused' ? decision.reason : failure?.code;
  return {
    time: new Date(record.endMs).toISOString(),
    requestId: record.requestId ?? '',
    decision: 'refused',
    ...(status !== undefined && { status }),
    ...(tenant !== undefined && { tenant }),
    ...(user !== undefined && { user }),
    ...(apiKey !== undefined && { key: apiKey }),
    ...(model !== undefined && { model }),
    ...(route !== undefined && { route }),
    ...(decision.type === 'refused' && { quota: decision.quota }),
    ...(reason !== undefined && { reason }),
    limits: record.buckets.map(({ quota, values }) => ({ quota: quota.id, key: values })),
  };
}
