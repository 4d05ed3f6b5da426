/**
 * The secrets for services of guardrails, by fleet. A proxy of a namespace that the operator does
 * not list gets those of its own namespace only: whoever can create a proxy there could read them,
 * and can mount these Secrets anyway.
 */
import type { Log } from '../../runtime/log.ts';
import type { DetectorSecret } from '../../translate/plan.ts';
import { MAX_POLICY_BYTES } from './limits.ts';
import { detectorSecretsMessage } from './wire.ts';

/** Messages by namespace; the empty name: with the secrets of all namespaces. */
type SecretMessages = Map<string, Uint8Array>;

interface FleetSecrets {
  readonly secrets: readonly DetectorSecret[];
  readonly messages: SecretMessages;
}

export class OfferedSecrets {
  readonly #log: Log;
  readonly #fleets = new Map<string, FleetSecrets>();
  #epoch = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Forgets the secrets of the term before. */
  begin(epoch: number): void {
    this.#epoch = epoch;
    this.#fleets.clear();
  }

  /** Sets the secrets of all fleets. */
  set(secrets: ReadonlyMap<string, readonly DetectorSecret[]>): void {
    for (const fleet of this.#fleets.keys()) {
      if (!secrets.has(fleet)) {
        this.#fleets.delete(fleet);
      }
    }
    for (const [fleet, next] of secrets) {
      const before = this.#fleets.get(fleet);
      if (before === undefined || !isSame(before.secrets, next)) {
        this.#fleets.set(fleet, { secrets: next, messages: new Map() });
      }
    }
  }

  /**
   * Returns the encoded message for a proxy; the same one until its content changes. `namespace`:
   * the only one whose secrets the proxy may have; undefined: it may have all.
   */
  messageFor(fleet: string, namespace: string | undefined): Uint8Array | undefined {
    const known = this.#fleets.get(fleet);
    if (known === undefined) {
      return undefined;
    }
    const { secrets, messages } = known;
    const name = namespace ?? '';
    let message = messages.get(name);
    if (message === undefined) {
      const allowed = secrets.filter(({ id }) => namespace === undefined || id.startsWith(`${namespace}/`));
      message = detectorSecretsMessage(this.#epoch, valuesOf(allowed));
      messages.set(name, message);
      if (message.length > MAX_POLICY_BYTES) {
        this.#log.error({ fleet, bytes: message.length }, 'secrets of guardrails too large; they are not sent');
      }
    }
    return message.length > MAX_POLICY_BYTES ? undefined : message;
  }
}

function valuesOf(secrets: readonly DetectorSecret[]): Readonly<Record<string, string>> {
  return Object.fromEntries(secrets.map(({ id, value }) => [id, value.reveal()]));
}

function isSame(left: readonly DetectorSecret[], right: readonly DetectorSecret[]): boolean {
  const isEqual = (one: DetectorSecret, other: DetectorSecret | undefined) =>
    one.id === other?.id && one.value.reveal() === other.value.reveal();
  return left.length === right.length && left.every((secret, index) => isEqual(secret, right[index]));
}
