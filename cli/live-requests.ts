/**
 * The requests in flight of a gateway process, for operators. They are read when somebody asks;
 * nothing is kept beside the requests themselves.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { Bounded, LiveStream, StopOutcome } from '../console/api/source.ts';
import { isVisible, type Viewer } from '../console/api/viewer.ts';
import { decimalText } from '../contract/money.ts';
import type { RequestRecord } from '../extproc/record.ts';
import type { LiveRequest } from '../extproc/session/drive.ts';
import { ownerOf } from './refused-requests.ts';

/** Counting the text of a stream takes up to a millisecond. */
const REQUESTS_PER_TURN = 8;
const MAX_LISTED = 200;

export class LiveRequests {
  readonly #requests: () => readonly LiveRequest[];
  readonly #ids = new WeakMap<LiveRequest, string>();
  /** Ids of an earlier process name nothing here. */
  readonly #process = randomUUID().slice(0, 8);
  #last = 0;

  constructor(requests: () => readonly LiveRequest[]) {
    this.#requests = requests;
  }

  /**
   * Returns the oldest requests that the viewer may see; `plain`: without the names of routes and
   * backends.
   */
  async list(viewer: Viewer, plain: boolean): Promise<Bounded<LiveStream>> {
    const visible = this.#requests()
      .flatMap((request) => {
        const facts = request.facts();
        return facts !== undefined && isVisible(ownerOf(facts.caller), viewer) ? [{ request, facts }] : [];
      })
      .sort((one, other) => one.facts.startMs - other.facts.startMs);
    const rows: LiveStream[] = [];
    for (const { request } of visible.slice(0, MAX_LISTED)) {
      const record = request.soFar();
      if (record !== undefined) {
        const { route: _, backend: __, ...named } = record;
        const shown = plain ? { ...named, route: undefined, backend: undefined } : record;
        rows.push(liveStream(this.#idOf(request), shown, request.heldTokens));
      }
      if (rows.length % REQUESTS_PER_TURN === 0) {
        await turn();
      }
    }
    return { rows, total: visible.length };
  }

  /** Ends a request, and returns what it was. */
  stop(id: string, by: string): { readonly outcome: StopOutcome; readonly record?: RequestRecord } {
    const request = this.#requests().find((one) => this.#ids.get(one) === id);
    const record = request?.soFar();
    if (request === undefined || record === undefined) {
      return { outcome: 'unknown' };
    }
    return { outcome: request.stop(by) ? 'stopped' : 'completes', record };
  }

  #idOf(request: LiveRequest): string {
    const id = this.#ids.get(request) ?? `${this.#process}-${++this.#last}`;
    this.#ids.set(request, id);
    return id;
  }
}

function liveStream(id: string, record: RequestRecord, heldTokens: number): LiveStream {
  const { requestId, model, route, backend, usage, cost, firstTokenMs, startMs } = record;
  return {
    id,
    ...ownerOf(record.access?.caller),
    ...(requestId !== undefined && { requestId }),
    ...(model !== undefined && { model }),
    ...(route !== undefined && { route }),
    ...(backend !== undefined && { backend }),
    stream: record.stream,
    startedAt: new Date(startMs).toISOString(),
    ...(firstTokenMs !== undefined && { firstTokenMs: Math.round(firstTokenMs - startMs) }),
    inputTokens: usage?.input ?? 0,
    outputTokens: usage?.output ?? 0,
    heldTokens,
    ...(cost !== undefined && { cost: decimalText(cost.nanos), currency: cost.currency }),
  };
}
