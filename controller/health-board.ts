/** The health of backends for their statuses. A backend that flaps changes its status seldom. */
import { condition } from '../crds/conditions.ts';
import type { ObjectStatus } from '../translate/plan.ts';
import { type BackendHealth, backendHealth } from './observe/backend-health.ts';
import type { History } from './observe/contents.ts';
import type { PushServer } from './push/server.ts';

/** How often the status of one backend may change. */
const STATUS_CHANGE_MS = 10_000;

const notObserved: BackendHealth = { reason: 'NotObserved', message: 'no connected proxy serves the backend' };

interface ShownHealth {
  readonly health: BackendHealth;
  readonly changedMs: number;
}

export class HealthBoard {
  readonly #push: Pick<PushServer, 'sidecars'>;
  readonly #history: Pick<History, 'policy'>;
  #shown: ReadonlyMap<string, ShownHealth> | undefined;

  constructor(push: Pick<PushServer, 'sidecars'>, history: Pick<History, 'policy'>) {
    this.#push = push;
    this.#history = history;
  }

  /** Adds the condition to the status of a backend that is accepted, once its health is known. */
  withHealth(status: ObjectStatus): ObjectStatus {
    const { kind, namespace, name } = status.object;
    const accepted = status.conditions?.find(({ type }) => type === 'Accepted');
    if (kind !== 'AIBackend' || accepted?.status !== 'True' || this.#shown === undefined) {
      return status;
    }
    const { reason, message } = this.#shown.get(`${namespace}/${name}`)?.health ?? notObserved;
    const own = condition('Healthy', reason, message, accepted.observedGeneration);
    return { ...status, conditions: [...(status.conditions ?? []), own] };
  }

  /** Takes what the sidecars have reported. Returns whether a status may change. */
  renew(nowMs: number): boolean {
    const reported = this.#push.sidecars().map(({ fleet, rests }) => ({ policy: this.#history.policy(fleet), rests }));
    const before = this.#shown;
    const shown = new Map<string, ShownHealth>();
    for (const [backend, health] of backendHealth(reported, nowMs)) {
      shown.set(backend, next(before?.get(backend), health, nowMs));
    }
    this.#shown = shown;
    return before?.size !== shown.size || [...shown].some(([backend, each]) => before.get(backend) !== each);
  }

  /** Another leader knows better. */
  clear(): void {
    this.#shown = undefined;
  }
}

function next(before: ShownHealth | undefined, health: BackendHealth, nowMs: number): ShownHealth {
  const isSame = before?.health.reason === health.reason && before.health.message === health.message;
  const isEarly = before !== undefined && nowMs - before.changedMs < STATUS_CHANGE_MS && nowMs >= before.changedMs;
  return before !== undefined && (isSame || isEarly) ? before : { health, changedMs: nowMs };
}
