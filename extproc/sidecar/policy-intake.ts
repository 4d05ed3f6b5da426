/**
 * Applies the policies that the controller sends and keeps the last good one on disk. Takes one
 * policy at a time; a policy that is older than the one in force is refused.
 */
import type { GatewayPolicy } from '../../contract/policy.ts';
import { isOlder, type PolicyRevision, type PolicyVersion } from '../../contract/policy-version.ts';
import type { Policy } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import type { Log } from '../../runtime/log.ts';
import { PolicyCache, readLastGoodPolicy } from '../policy/last-good-policy.ts';
import { newPolicyReader } from '../policy/read.ts';
import { plainVersion } from '../policy/version.ts';
import { pendingRoutes } from './pending-routes.ts';

const MAX_REASON_CHARACTERS = 500;

export interface PolicyIntakeOptions {
  /** Where the last good policy is kept; undefined: nowhere. */
  readonly folder: string | undefined;
  /** Rejects if the policy cannot be used. */
  readonly apply: (policy: GatewayPolicy, revision: PolicyRevision) => void | Promise<void>;
  /** Awaited before a policy that moves a route in force to another backend. Never rejects. */
  readonly waitForRoutes?: ((routeNames: readonly string[]) => Promise<void>) | undefined;
  /** Called with the policy in force and the Envoy routes that it names. */
  readonly applied?: ((version: PolicyVersion, routeNames: readonly string[]) => void) | undefined;
  readonly log: Log;
}

export class PolicyIntake {
  readonly #options: PolicyIntakeOptions;
  readonly #cache: PolicyCache | undefined;
  readonly #reader = newPolicyReader();
  #version: PolicyVersion | undefined;
  #policy: GatewayPolicy | undefined;
  #closed = false;

  constructor(options: PolicyIntakeOptions) {
    this.#options = options;
    this.#cache = options.folder === undefined ? undefined : new PolicyCache(options.folder, options.log);
  }

  /** The version of the policy in force. */
  get version(): PolicyVersion | undefined {
    return this.#version;
  }

  /** Puts the policy that was kept on disk into force, if there is one. Never rejects. */
  async restore(): Promise<void> {
    const { folder, log } = this.#options;
    if (folder === undefined) {
      return;
    }
    try {
      const kept = await readLastGoodPolicy(folder, this.#reader);
      if (kept !== undefined && !this.#closed) {
        await this.#enforce(kept.version, kept.policy);
      }
    } catch (error) {
      log.warn({ err: error }, 'policy on disk cannot be used');
    }
  }

  /** Returns the reason why the policy is refused, or undefined if it is in force. */
  async take({ version: message, content }: Policy): Promise<string | undefined> {
    const version = plainVersion(message);
    if (version === undefined) {
      return 'the policy has no version';
    }
    if (this.#version !== undefined && isOlder(version, this.#version)) {
      return `it is older than the policy in force (${this.#version.epoch}/${this.#version.counter})`;
    }
    if (content !== undefined) {
      try {
        const policy = await this.#reader.read(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
        await this.#waitForRoutes(policy);
        if (this.#closed) {
          return undefined;
        }
        await this.#enforce(version, policy);
      } catch (error) {
        return errorMessage(error).slice(0, MAX_REASON_CHARACTERS);
      }
    } else if (this.#version?.version === version.version) {
      this.#version = version;
    } else {
      return 'the policy has no content';
    }
    this.#cache?.keep(version, content);
    return undefined;
  }

  /** Resolves when the last good policy is on disk. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#cache?.settled();
  }

  async #waitForRoutes(next: GatewayPolicy): Promise<void> {
    const routeNames = this.#policy === undefined ? [] : pendingRoutes(this.#policy, next);
    if (routeNames.length > 0) {
      await this.#options.waitForRoutes?.(routeNames);
    }
  }

  async #enforce(version: PolicyVersion, policy: GatewayPolicy): Promise<void> {
    await this.#options.apply(policy, version);
    this.#version = version;
    this.#policy = policy;
    this.#options.applied?.(
      version,
      policy.virtualHosts.flatMap(({ routeNames }) => routeNames),
    );
  }
}
