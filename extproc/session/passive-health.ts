/**
 * Passive health checks: which targets are left out because of the responses that this process and
 * other replicas saw.
 *
 * A failure makes the target rest, which belongs to one rule: its policy says what is a failure,
 * and for how long. What concerns other rules of other authors, too, is only what they would see
 * themselves: a backend that cannot be connected to, and a rate limit that the provider says is
 * spent, for one model.
 */
import type { RestCause, RestReport } from '../../contract/backend-rest.ts';
import type { CompiledTarget } from '../policy/compile.ts';
import type { SharedRest } from '../quota/shared/rest-store.ts';
import { OutlierDetection } from './outlier-detection.ts';
import { type RestPlace, readRestName, restName, targetName } from './rest-name.ts';
import { RestTable } from './rest-table.ts';

/** A replica that had a success so recently does not believe another that saw a failure. */
const RECENT_SUCCESS_MS = 10_000;

/** The longest rest that another replica may tell. */
const LONGEST_SHARED_REST_MS = 3_600_000;

/** A rest that begins. */
export interface BeginningRest {
  readonly target: Pick<CompiledTarget, 'id' | 'backend'>;
  readonly ms: number;
  readonly cause: RestCause;
  /** Present where the backend rests for every rule, with one of its models or all of them. */
  readonly everyRule?: { readonly model: string | undefined; readonly ms: number };
}

export type TellReplicas = (name: string, forMs: number) => void;

export class PassiveHealth {
  readonly #outliers = new OutlierDetection();
  /** By target id. */
  readonly #targets = new RestTable();
  /** By backend, or backend and model. */
  readonly #backends = new RestTable();
  /** The backends of the targets in the policy, by target id. */
  #known: ReadonlyMap<string, string> = new Map();
  #knownBackends: ReadonlySet<string> = new Set();
  /** Ids by name; made when another replica first names a target of the policy. */
  #idsByName: ReadonlyMap<string, string> | undefined;
  #tell: TellReplicas | undefined;
  /** By target id; kept while there are other replicas. */
  readonly #successes = new Map<string, number>();

  /** Tells other replicas about rests from now on; undefined: no longer. */
  tellReplicas(tell: TellReplicas | undefined): void {
    this.#tell = tell;
    this.#successes.clear();
  }

  /** Notes how a target responded. */
  saw(target: string, well: boolean, nowMs: number): void {
    if (well && this.#tell !== undefined) {
      this.#successes.set(target, nowMs);
    }
    const forMs = this.#outliers.saw(target, well, nowMs);
    if (forMs !== undefined) {
      this.#share({ type: 'Target', name: targetName(target) }, forMs, 'OutlierDetection');
    }
  }

  /** Leaves a target out, also if requests that are in flight succeed. */
  rest({ target: { id, backend }, ms, cause, everyRule }: BeginningRest, nowMs: number): void {
    this.#targets.begin(id, ms, nowMs, cause);
    this.#share({ type: 'Target', name: targetName(id) }, ms, cause);
    if (everyRule !== undefined) {
      const { model } = everyRule;
      this.#backends.begin(backendKey(backend, model), everyRule.ms, nowMs, cause);
      const place: RestPlace = model === undefined ? { type: 'Backend', backend } : { type: 'Model', backend, model };
      this.#share(place, everyRule.ms, cause);
    }
  }

  /**
   * Returns when the rest of a target ends, for the model that the client asks for; undefined where
   * it is healthy.
   */
  restsUntil(
    target: Pick<CompiledTarget, 'id' | 'backend' | 'model'>,
    model: string,
    nowMs: number,
  ): number | undefined {
    let untilMs = later(this.#targets.of(target.id, nowMs)?.untilMs, this.#outliers.until(target.id, nowMs));
    if (!this.#backends.isEmpty) {
      untilMs = later(untilMs, this.#backends.of(target.backend, nowMs)?.untilMs);
      const key = backendKey(target.backend, target.model ?? model);
      untilMs = later(untilMs, this.#backends.of(key, nowMs)?.untilMs);
    }
    return untilMs;
  }

  /** Takes what rests for other replicas. What the policy does not name is left out. */
  learn(rests: readonly SharedRest[], nowMs: number): void {
    for (const { name, forMs } of rests) {
      const read = forMs > 0 ? readRestName(name) : undefined;
      if (read !== undefined) {
        this.#learnOne(read.place, read.cause, Math.min(forMs, LONGEST_SHARED_REST_MS), nowMs);
      }
    }
  }

  /** Forgets what a policy does not have; `known`: the backends of its targets, by target id. */
  keepOnly(known: ReadonlyMap<string, string>): void {
    this.#known = known;
    this.#knownBackends = new Set(known.values());
    this.#idsByName = undefined;
    this.#outliers.keepOnly((id) => known.has(id));
    this.#targets.keepOnly((id) => known.has(id));
    this.#backends.keepOnly((key) => this.#knownBackends.has(partsOfKey(key).backend));
    for (const id of this.#successes.keys()) {
      if (!known.has(id)) {
        this.#successes.delete(id);
      }
    }
  }

  /** The backends of the policy. */
  get backends(): ReadonlySet<string> {
    return this.#knownBackends;
  }

  /** Returns everything that rests. */
  resting(nowMs: number): readonly RestReport[] {
    const ofTarget = (id: string, cause: RestCause, untilMs: number): RestReport[] => {
      const backend = this.#known.get(id);
      const rule = targetName(id).split('/', 3).join('/');
      return backend === undefined ? [] : [{ backend, rule, cause, untilMs }];
    };
    return [
      ...this.#backends.all(nowMs).map(([key, { cause, untilMs }]) => ({ ...partsOfKey(key), cause, untilMs })),
      ...this.#targets.all(nowMs).flatMap(([id, { cause, untilMs }]) => ofTarget(id, cause, untilMs)),
      ...this.#outliers.all(nowMs).flatMap(([id, untilMs]) => ofTarget(id, 'OutlierDetection', untilMs)),
    ];
  }

  #share(place: RestPlace, forMs: number, cause: RestCause): void {
    const name = this.#tell && restName(place, cause);
    if (name !== undefined) {
      this.#tell?.(name, forMs);
    }
  }

  #learnOne(place: RestPlace, cause: RestCause, forMs: number, nowMs: number): void {
    if (place.type === 'Target') {
      const id = this.#idOf(place.name);
      if (id !== undefined && (isOfProvider(cause) || !this.#succeeded(id, nowMs))) {
        this.#targets.begin(id, forMs, nowMs, cause);
      }
      return;
    }
    const { backend } = place;
    if (this.#knownBackends.has(backend) && (isOfProvider(cause) || !this.#backendSucceeded(backend, nowMs))) {
      this.#backends.begin(backendKey(backend, place.type === 'Model' ? place.model : undefined), forMs, nowMs, cause);
    }
  }

  #idOf(name: string): string | undefined {
    this.#idsByName ??= new Map([...this.#known.keys()].map((id) => [targetName(id), id]));
    return this.#idsByName.get(name);
  }

  #succeeded(id: string, nowMs: number): boolean {
    const ageMs = nowMs - (this.#successes.get(id) ?? Number.NEGATIVE_INFINITY);
    return ageMs >= 0 && ageMs < RECENT_SUCCESS_MS;
  }

  #backendSucceeded(backend: string, nowMs: number): boolean {
    return [...this.#successes.keys()].some((id) => this.#known.get(id) === backend && this.#succeeded(id, nowMs));
  }
}

/**
 * Whether the provider itself said so. Anything else may be a fault of the network of one replica,
 * which must not make all others leave the backend.
 */
function isOfProvider(cause: RestCause): boolean {
  return cause === 'RateLimited' || cause === 'RateLimitSpent';
}

function backendKey(backend: string, model: string | undefined): string {
  return model === undefined ? backend : `${backend}\n${model}`;
}

function partsOfKey(key: string): { readonly backend: string; readonly model?: string } {
  const [backend = '', model] = key.split('\n', 2);
  return model === undefined ? { backend } : { backend, model };
}

function later(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || (other !== undefined && other > one) ? other : one;
}
