/**
 * The sidecar's side of the policy push: a stream to the controller that is reopened whenever it
 * ends. Receives policies, applies them and keeps them on disk; reports which policy is in force,
 * which was refused and why, and how Envoy is configured. Without the controller the last good
 * policy stays in force.
 */
import { readFileSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { POLICY_FORMAT_VERSION } from '../../contract/policy.ts';
import { isOlder } from '../../contract/policy-version.ts';
import type { Policy, SidecarMessageSchema } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { plainVersion, wireVersion } from '../policy/version.ts';
import { Backoff } from './backoff.ts';
import type { ConfigCheckReport } from './config-verifier.ts';
import { PolicyIntake, type PolicyIntakeOptions } from './policy-intake.ts';
import { openStream, type PolicyStream } from './stream.ts';

export interface FollowOptions extends PolicyIntakeOptions {
  /** `HOST:PORT`. */
  readonly controller: string;
  /** Files, read again at each attempt, because the kubelet replaces them. */
  readonly tokenPath: string;
  readonly caPath: string;
  readonly programVersion: string;
}

type SidecarReport = NonNullable<MessageInitShape<typeof SidecarMessageSchema>['message']>;

export interface FollowedController {
  /** Resolves when the policy that was kept on disk, if there is one, is in force. */
  readonly begun: Promise<void>;
  /** For `/readyz`. */
  details(): Readonly<Record<string, string>>;
  /** Sends the check now, and again on each new stream. */
  reportConfigCheck(check: ConfigCheckReport): void;
  /** Asks the controller to fetch the keys of a URL again. Lost while it cannot be reached. */
  requestKeys(url: string): void;
  close(): Promise<void>;
}

export function followController(options: FollowOptions): FollowedController {
  return new ControllerFollower(options);
}

class ControllerFollower implements FollowedController {
  readonly begun: Promise<void>;
  readonly #options: FollowOptions;
  readonly #intake: PolicyIntake;
  readonly #backoff = new Backoff();
  #refusal: { readonly version: string; readonly reason: string } | undefined;
  #check: ConfigCheckReport | undefined;
  /** Why the controller cannot be reached; undefined while connected. */
  #unreachable: string | undefined = 'not contacted yet';
  #closed = false;
  #stream: PolicyStream | undefined;
  #retry: NodeJS.Timeout | undefined;
  /**
   * Policies are taken in order: a new stream may bring one while an old stream's is being read.
   */
  #taking: Promise<void> = Promise.resolve();

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#intake = new PolicyIntake(options);
    this.begun = this.#intake.restore().then(() => this.#connect());
  }

  details(): Readonly<Record<string, string>> {
    const details = { policy: this.#intake.version?.version ?? '', controller: this.#unreachable ?? 'connected' };
    const refusal = this.#refusal;
    return refusal === undefined ? details : { ...details, refused: refusal.version, refusal: refusal.reason };
  }

  reportConfigCheck(check: ConfigCheckReport): void {
    this.#check = check;
    if (this.#unreachable === undefined) {
      this.#sendConfigCheck();
    }
  }

  requestKeys(url: string): void {
    this.#send({ case: 'refetchKeys', value: { url } });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#stream?.close();
    await this.#intake.close();
  }

  #connect(): void {
    if (this.#closed) {
      return;
    }
    this.#backoff.attempt();
    const { controller, caPath, tokenPath, programVersion } = this.#options;
    try {
      this.#stream = openStream({
        controller,
        ca: readFileSync(caPath),
        token: readFileSync(tokenPath, 'utf8').trim(),
        opened: () => this.#opened(),
        heard: (policy) => this.#heard(policy),
        ended: (reason) => this.#ended(reason),
      });
    } catch (error) {
      this.#reconnectLater(errorMessage(error));
      return;
    }
    const { version } = this.#intake;
    this.#send({
      case: 'hello',
      value: {
        programVersion,
        formatVersions: [POLICY_FORMAT_VERSION],
        readsChanges: true,
        ...(version && { inForce: wireVersion(version) }),
      },
    });
  }

  #opened(): void {
    const { controller, log } = this.#options;
    if (this.#unreachable !== undefined) {
      log.info({ controller }, 'connected to controller');
    }
    this.#unreachable = undefined;
    this.#backoff.opened();
    this.#sendConfigCheck();
  }

  #heard(policy: Policy): void {
    const from = this.#stream;
    this.#taking = this.#taking.then(() => this.#take(policy, from));
  }

  async #take(policy: Policy, from: PolicyStream | undefined): Promise<void> {
    const reason = await this.#intake.take(policy);
    // A later stream reports what is in force by its Hello, and gets answers to its own policies.
    if (this.#closed || this.#stream !== from) {
      return;
    }
    const version = policy.version ?? wireVersion({ epoch: 0, counter: 0, version: '' });
    if (reason === undefined) {
      this.#refusal = undefined;
      this.#backoff.reset();
      this.#send({ case: 'acknowledge', value: { version } });
      return;
    }
    this.#refusal = { version: version.version, reason };
    this.#options.log.error(this.#refusal, 'policy refused; the last good policy stays in force');
    this.#send({ case: 'refuse', value: { version, reason } });
    // A former leader may serve for a moment: the next attempt finds the new one.
    const offered = plainVersion(policy.version);
    const inForce = this.#intake.version;
    if (inForce !== undefined && offered !== undefined && isOlder(offered, inForce)) {
      from?.close();
    }
  }

  #ended(reason: string | undefined): void {
    this.#stream = undefined;
    this.#backoff.ended();
    this.#reconnectLater(reason);
  }

  /** `reason` undefined: the controller ended the stream in order, to review the token again. */
  #reconnectLater(reason: string | undefined): void {
    if (this.#closed) {
      return;
    }
    const { controller, log } = this.#options;
    if (reason !== undefined && this.#unreachable === undefined) {
      log.warn({ controller, reason }, 'disconnected from controller; the last good policy stays in force');
    }
    if (reason !== undefined) {
      this.#unreachable = reason;
    }
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.nextDelayMs());
  }

  #send(message: SidecarReport): void {
    this.#stream?.send({ message });
  }

  #sendConfigCheck(): void {
    if (this.#check !== undefined) {
      this.#send({ case: 'configCheck', value: { ...this.#check, version: wireVersion(this.#check.version) } });
    }
  }
}
