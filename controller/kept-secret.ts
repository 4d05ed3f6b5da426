/**
 * A value that the leader keeps in a Secret of its namespace for the next leader. A Secret also for
 * public values, because whoever could change them could act for others.
 */
import { errorMessage } from '../runtime/error-message.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import type { KubeObject } from './api/object.ts';
import { secrets } from './resources.ts';

/** A Secret may have 1 MiB, and base64 adds a third. */
const MAX_BYTES = 700 * 1024;

export interface KeptSecretOptions {
  readonly client: KubeClient;
  /** The controller's own. */
  readonly namespace: string;
  readonly name: string;
  /** The key in its data. */
  readonly field: string;
  readonly log: Log;
}

export class KeptSecret<T> {
  readonly #options: KeptSecretOptions;
  #written = '';

  constructor(options: KeptSecretOptions) {
    this.#options = options;
  }

  /** Returns undefined if nothing was kept. Rejects if the Secret cannot be read now. */
  async read(signal: AbortSignal): Promise<T | undefined> {
    const { client, namespace, name, field, log } = this.#options;
    const secret = await client.get(secrets, namespace, name, signal);
    const { [field]: base64 = '' } = (secret?.['data'] ?? {}) as Readonly<Record<string, string | undefined>>;
    this.#written = Buffer.from(base64, 'base64').toString('utf8');
    try {
      return this.#written === '' ? undefined : (JSON.parse(this.#written) as T);
    } catch (error) {
      log.warn({ secret: name, problem: errorMessage(error) }, 'kept values not readable');
      return undefined;
    }
  }

  /** Writes a changed value. A failure is logged only: the value is in force already. */
  async write(value: T, signal: AbortSignal): Promise<void> {
    const { client, namespace, name, field, log } = this.#options;
    const text = JSON.stringify(value);
    if (text === this.#written) {
      return;
    }
    if (text.length > MAX_BYTES) {
      log.warn({ secret: name, bytes: text.length, maximum: MAX_BYTES }, 'values too large to keep');
      return;
    }
    const data = { [field]: Buffer.from(text).toString('base64') };
    const object = { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, type: 'Opaque', data };
    try {
      await client.apply(secrets, object as KubeObject, { signal });
      this.#written = text;
    } catch (error) {
      log.warn({ secret: name, err: error }, 'values not kept');
    }
  }
}
