/**
 * The sidecar's side of the policy push: a stream to the controller that is reopened whenever it
 * ends. Receives policies, the shared quota store and secrets of guardrails, applies them and keeps
 * them on disk; reports which policy is in force, which was refused and why, how Envoy is
 * configured, and whether the store can be reached. Without the controller the last good policy
 * stays in force.
 */
import { readFileSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { z } from 'zod';
import type { RestReport } from '../../contract/backend-rest.ts';
import type { BudgetReport, ThresholdReport } from '../../contract/budget-report.ts';
import { POLICY_FORMAT_VERSION } from '../../contract/policy.ts';
import { isOlder } from '../../contract/policy-version.ts';
import { type SharedStoreConfig, sharedStoreSchema } from '../../contract/shared-store.ts';
import {
  type ConsoleQuestion,
  type DetectorSecrets,
  type Policy,
  type SharedStore,
  SharedStoreReport_State,
  type SidecarMessageSchema,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import type { SharedStoreState } from '../policy/source.ts';
import { plainVersion, wireVersion } from '../policy/version.ts';
import { Backoff } from './backoff.ts';
import { BudgetOutbox } from './budget-outbox.ts';
import type { ConfigCheckReport } from './config-verifier.ts';
import { KeptIntake } from './kept-intake.ts';
import { PolicyIntake, type PolicyIntakeOptions } from './policy-intake.ts';
import { RestOutbox } from './rest-outbox.ts';
import { type ConsoleReplyContent, openStream, type PolicyStream } from './stream.ts';

export interface FollowOptions extends PolicyIntakeOptions {
  /** `HOST:PORT`. */
  readonly controller: string;
  /** Files, read again at each attempt, because the kubelet replaces them. */
  readonly tokenPath: string;
  readonly caPath: string;
  /** Where the shared store and secrets are kept; undefined: nowhere. */
  readonly storeFolder: string | undefined;
  /** Puts a configuration into force without ending streams; undefined: no store is shared. */
  readonly useSharedStore: (config: SharedStoreConfig | undefined) => void;
  /** Puts the secrets for services of guardrails into force: values by id. */
  readonly useDetectorSecrets: (secrets: Readonly<Record<string, string>>) => void;
  readonly programVersion: string;
  /** Where content can go; see `Hello` of the protocol. */
  readonly contentDestinations: readonly string[];
  /** Returns the budgets with the least left, for the status of their policies. */
  readonly fullestBudgets: () => readonly BudgetReport[];
  /** Returns what rests, for the status of backends. */
  readonly resting: () => readonly RestReport[];
  /** Answers a request for the console of the cluster. */
  readonly answerConsole: (question: ConsoleQuestion) => Promise<ConsoleReplyContent>;
}

const wireStates = {
  unused: SharedStoreReport_State.UNUSED,
  available: SharedStoreReport_State.AVAILABLE,
  lost: SharedStoreReport_State.LOST,
} as const;

type SidecarReport = NonNullable<MessageInitShape<typeof SidecarMessageSchema>['message']>;

export interface FollowedController {
  /** Resolves when the policy that was kept on disk, if there is one, is in force. */
  readonly begun: Promise<void>;
  /** For `/readyz`. */
  details(): Readonly<Record<string, string>>;
  /** Sends the check now, and again on each new stream. */
  reportConfigCheck(check: ConfigCheckReport): void;
  /** Sends the state now, and again on each new stream. */
  reportSharedStore(state: SharedStoreState): void;
  /** Sends the alert until the controller has stored it. */
  reportAlert(alert: ThresholdReport): void;
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
  readonly #storeIntake: KeptIntake<SharedStoreConfig>;
  readonly #secretsIntake: KeptIntake<Readonly<Record<string, string>>>;
  readonly #backoff = new Backoff();
  readonly #budgets: BudgetOutbox;
  readonly #rests: RestOutbox;
  #refusal: { readonly version: string; readonly reason: string } | undefined;
  #check: ConfigCheckReport | undefined;
  #storeState: SharedStoreState = { state: 'unused', reason: '' };
  /** Why the controller cannot be reached; undefined while connected. */
  #unreachable: string | undefined = 'not contacted yet';
  #closed = false;
  #stream: PolicyStream | undefined;
  #retry: NodeJS.Timeout | undefined;
  /**
   * Messages are taken in order: a new stream may bring one while an old stream's is being read,
   * and no policy may come into force before the store and the secrets that came first.
   */
  #taking: Promise<void> = Promise.resolve();

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#intake = new PolicyIntake(options);
    const { storeFolder: folder, log } = options;
    this.#storeIntake = new KeptIntake({
      name: 'shared quota store',
      file: 'shared-store.json',
      folder,
      schema: sharedStoreSchema,
      use: options.useSharedStore,
      log,
    });
    this.#secretsIntake = new KeptIntake({
      name: 'secrets of guardrails',
      file: 'detector-secrets.json',
      folder,
      schema: z.record(z.string(), z.string()),
      use: (secrets = {}) => options.useDetectorSecrets(secrets),
      log,
    });
    this.#budgets = new BudgetOutbox({
      fullest: options.fullestBudgets,
      sendAlert: (alert) => this.#sendIfOpen({ case: 'budgetAlerts', value: { alerts: [alert] } }),
      sendFullest: (budgets) => this.#sendIfOpen({ case: 'fullestBudgets', value: { budgets: [...budgets] } }),
    });
    this.#rests = new RestOutbox({
      resting: options.resting,
      send: (rests) => this.#sendIfOpen({ case: 'restingBackends', value: { rests: [...rests] } }),
    });
    this.begun = this.#storeIntake
      .restore()
      .then(() => this.#secretsIntake.restore())
      .then(() => this.#intake.restore())
      .then(() => this.#connect());
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

  reportSharedStore(state: SharedStoreState): void {
    this.#storeState = state;
    if (this.#unreachable === undefined) {
      this.#sendStoreReport();
    }
  }

  reportAlert(alert: ThresholdReport): void {
    this.#budgets.add(alert);
  }

  requestKeys(url: string): void {
    this.#send({ case: 'refetchKeys', value: { url } });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#budgets.close();
    this.#rests.close();
    this.#stream?.close();
    await this.#intake.close();
  }

  #connect(): void {
    if (this.#closed) {
      return;
    }
    this.#backoff.attempt();
    const { controller, caPath, tokenPath, programVersion, contentDestinations } = this.#options;
    try {
      this.#stream = openStream({
        controller,
        ca: readFileSync(caPath),
        token: readFileSync(tokenPath, 'utf8').trim(),
        opened: () => this.#opened(),
        heard: (policy) => this.#heard(policy),
        storeHeard: (store) => this.#storeHeard(store),
        secretsHeard: (secrets) => this.#secretsHeard(secrets),
        alertsKept: (numbers) => this.#budgets.kept(numbers),
        consoleAsked: (question) => this.#consoleAsked(question),
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
        readsSharedStore: true,
        readsDetectorSecrets: true,
        answersConsole: true,
        contentDestinations: { names: [...contentDestinations] },
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
    this.#sendStoreReport();
    this.#budgets.opened();
    this.#rests.opened();
  }

  #storeHeard({ epoch, config: content }: SharedStore): void {
    this.#taking = this.#taking.then(async () => {
      const before = this.#storeIntake.refusal;
      await this.#storeIntake.take({ epoch, content });
      if (this.#storeIntake.refusal !== before) {
        this.#sendStoreReport();
      }
    });
  }

  #secretsHeard({ epoch, secrets: content }: DetectorSecrets): void {
    this.#taking = this.#taking.then(() => this.#secretsIntake.take({ epoch, content }));
  }

  #consoleAsked(question: ConsoleQuestion): void {
    const from = this.#stream;
    const { number } = question;
    this.#options.answerConsole(question).then(
      (reply) => from?.send({ message: { case: 'consoleReply', value: { ...reply, number } } }),
      (error) => this.#options.log.error({ err: error }, 'console question not answered'),
    );
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

  /** Leaves out what is sent again when the next stream opens. */
  #sendIfOpen(message: SidecarReport): void {
    if (this.#unreachable === undefined) {
      this.#send(message);
    }
  }

  #send(message: SidecarReport): void {
    this.#stream?.send({ message });
  }

  #sendConfigCheck(): void {
    if (this.#check !== undefined) {
      this.#send({ case: 'configCheck', value: { ...this.#check, version: wireVersion(this.#check.version) } });
    }
  }

  #sendStoreReport(): void {
    const { state, reason } = this.#storeState;
    const { refusal } = this.#storeIntake;
    const refused = refusal === '' ? '' : `the sidecar refuses its configuration: ${refusal}`;
    this.#send({ case: 'sharedStoreReport', value: { state: wireStates[state], reason: refused || reason } });
  }
}
