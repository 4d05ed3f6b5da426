/**
 * Applies the policies that the controller sends and keeps the last good one on disk. Takes one
 * policy at a time; a policy that is older than the one in force is refused.
 */
import { createHash } from 'node:crypto';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { type ContentPiece, withChanges } from '../../contract/policy-changes.ts';
import { isOlder, type PolicyRevision, type PolicyVersion } from '../../contract/policy-version.ts';
import type { Policy, ContentPiece as WirePiece } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import type { Log } from '../../runtime/log.ts';
import { PolicyCache, readLastGoodPolicy } from '../policy/last-good-policy.ts';
import { newPolicyReader } from '../policy/read.ts';
import { plainVersion } from '../policy/version.ts';
import { type PendingConfig, pendingConfig } from './pending-config.ts';

const MAX_REASON_CHARACTERS = 500;

export interface PolicyIntakeOptions {
  /** Where the last good policy is kept; undefined: nowhere. */
  readonly folder: string | undefined;
  /** Rejects if the policy cannot be used. */
  readonly apply: (policy: GatewayPolicy, revision: PolicyRevision) => void | Promise<void>;
  /** Awaited before a policy that needs more of Envoy than the one in force. Never rejects. */
  readonly waitFor?: ((pending: PendingConfig) => Promise<void>) | undefined;
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
  /** The text of the policy in force, to which changes refer. */
  #content: Buffer | undefined;
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
        await this.#enforce(kept.version, kept.policy, kept.content);
      }
    } catch (error) {
      log.warn({ err: error }, 'policy on disk cannot be used');
    }
  }

  /** Returns the reason why the policy is refused, or undefined if it is in force. */
  async take(message: Policy): Promise<string | undefined> {
    const version = plainVersion(message.version);
    if (version === undefined) {
      return 'the policy has no version';
    }
    if (this.#version !== undefined && isOlder(version, this.#version)) {
      return `it is older than the policy in force (${this.#version.epoch}/${this.#version.counter})`;
    }
    let content: Buffer | undefined;
    try {
      content = this.#contentOf(message);
      if (content !== undefined) {
        const policy = await this.#reader.read(content);
        await this.#waitForEnvoy(policy);
        if (this.#closed) {
          return undefined;
        }
        await this.#enforce(version, policy, content);
      }
    } catch (error) {
      return errorMessage(error).slice(0, MAX_REASON_CHARACTERS);
    }
    if (content === undefined) {
      if (this.#version?.version !== version.version) {
        return 'the policy has no content';
      }
      this.#version = version;
    }
    this.#cache?.keep(version, content);
    return undefined;
  }

  /** Resolves when the last good policy is on disk. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#cache?.settled();
  }

  /** Returns undefined for a message with a version only. Throws if its changes do not fit. */
  #contentOf({ content, changes }: Policy): Buffer | undefined {
    if (content !== undefined || changes === undefined) {
      return content && Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    }
    if (this.#content === undefined || changes.base !== this.#version?.version) {
      throw new Error(`the changes are of policy ${changes.base}, which is not in force`);
    }
    const changed = withChanges(this.#content, changes.pieces.map(contentPiece));
    if (!createHash('sha256').update(changed).digest().equals(changes.digest)) {
      throw new Error('the changed policy has another digest');
    }
    return changed;
  }

  async #waitForEnvoy(next: GatewayPolicy): Promise<void> {
    const pending = this.#policy && pendingConfig(this.#policy, next);
    if (pending !== undefined) {
      await this.#options.waitFor?.(pending);
    }
  }

  async #enforce(version: PolicyVersion, policy: GatewayPolicy, content: Buffer): Promise<void> {
    await this.#options.apply(policy, version);
    this.#version = version;
    this.#policy = policy;
    this.#content = content;
    this.#options.applied?.(
      version,
      policy.virtualHosts.flatMap(({ routeNames }) => routeNames),
    );
  }
}

function contentPiece({ piece }: WirePiece): ContentPiece {
  if (piece.case === 'kept') {
    return { type: 'Kept', first: piece.value.first, count: piece.value.count };
  }
  if (piece.case === 'text') {
    return { type: 'New', text: piece.value };
  }
  throw new Error('the changes have a piece of an unknown kind');
}
