/**
 * One stream of an authenticated sidecar. Only one policy is in flight; after its answer the newest
 * one is sent, so that nothing queues for a slow sidecar.
 */
import { status } from '@grpc/grpc-js';
import { type RestReport, readRestReport } from '../../contract/backend-rest.ts';
import {
  type BudgetReport,
  readBudgetReport,
  readThresholdReport,
  type ThresholdReport,
} from '../../contract/budget-report.ts';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import type {
  BudgetAlert,
  ConfigCheck,
  SharedStoreReport,
  SidecarMessage,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { PodIdentity } from '../api/token-review.ts';
import { type ConsoleContent, ConsoleQuestions, type ConsoleReplyBody } from './console-questions.ts';
import {
  ALERTS_WINDOW_MS,
  ANSWER_TIMEOUT_MS,
  KEY_REQUESTS_WINDOW_MS,
  MAX_ALERTS,
  MAX_KEY_REQUESTS,
  MAX_KEYS_URL_CHARACTERS,
  MAX_REPORTED_BUDGETS,
  MAX_REPORTED_RESTS,
  MAX_STREAM_AGE_MS,
  STRANGER_LIFE_MS,
} from './limits.ts';
import { alertsKeptMessage, type FollowCall, type Offer, plainVersion } from './wire.ts';

/** The last reports of a sidecar. */
export interface ConnectedSidecar {
  readonly pod: PodIdentity;
  readonly fleet: string;
  readonly programVersion: string;
  /** The policy in force. */
  readonly acknowledged: PolicyVersion | undefined;
  /** The last policy that it was offered, if it refused that. */
  readonly refused: { readonly version: PolicyVersion; readonly reason: string } | undefined;
  /** The last check of its Envoy, for the policy version in it. */
  readonly configCheck: ConfigCheck | undefined;
  /** The budgets with the least left. */
  readonly budgets: readonly BudgetReport[];
  /** Backends that it leaves out. */
  readonly rests: readonly RestReport[];
  /** Whether its version can use a shared quota store. */
  readonly readsSharedStore: boolean;
  /** Whether its pod may have the password of the store. */
  readonly mayShareStore: boolean;
  readonly sharedStore: SharedStoreReport | undefined;
  /** Whether its version takes secrets for services of guardrails. */
  readonly readsSecrets: boolean;
  /** Whether its pod may have those of all namespaces, not only of its own. */
  readonly mayHaveSecrets: boolean;
  /** Whether its version answers questions of a console. */
  readonly answersConsole: boolean;
  /** The destinations of content that it has; undefined: its version does not say. */
  readonly contentDestinations: readonly string[] | undefined;
}

/** Of a sidecar that has just connected. */
export const nothingReported = {
  programVersion: '',
  acknowledged: undefined,
  refused: undefined,
  configCheck: undefined,
  budgets: [],
  rests: [],
  readsSharedStore: false,
  mayShareStore: false,
  sharedStore: undefined,
  readsSecrets: false,
  mayHaveSecrets: false,
  answersConsole: false,
  contentDestinations: undefined,
};

export interface SidecarStream {
  /** Sends a changed shared store, changed secrets and a newer policy, if there are. */
  offer(): void;
  /** Asks for what the console shows; see `ConsoleQuestions`. */
  ask(content: ConsoleContent): Promise<ConsoleReplyBody | undefined>;
  end(code: status, details: string): void;
}

export interface SidecarHooks {
  /** The policy that the sidecar's fleet should have. */
  readonly wanted: () => Offer | undefined;
  /** The encoded message about the shared store; undefined: not known yet. */
  readonly sharedStore: () => Uint8Array | undefined;
  /** The encoded message with secrets of guardrails; undefined: not known yet. */
  readonly detectorSecrets: () => Uint8Array | undefined;
  /** Called after Hello, and at each change. */
  readonly reported: (change: Partial<ConnectedSidecar>) => void;
  readonly ended: () => void;
  /** Called when a token named an unknown key; at most `MAX_KEY_REQUESTS` times per window. */
  readonly keysRequested: (url: string) => void;
  /** Called with each alert; `stored` tells the sidecar that it need not send it again. */
  readonly alertRaised: (report: ThresholdReport, stored: () => void) => void;
  /** Called with the budgets that have the least left, or with the backends that are left out. */
  readonly stateReported: (state: Partial<Pick<ConnectedSidecar, 'budgets' | 'rests'>>) => void;
  /** Closes the connection, for a peer that does not close it itself. */
  readonly drop: () => void;
}

const MAX_REASON_CHARACTERS = 1000;
/** For the client to read the status before the connection is closed. */
const DROP_DELAY_MS = 1000;

export function followSidecar(call: FollowCall, hooks: SidecarHooks): SidecarStream {
  return new FollowedSidecar(call, hooks);
}

class FollowedSidecar implements SidecarStream {
  readonly #call: FollowCall;
  readonly #hooks: SidecarHooks;
  readonly #age: NodeJS.Timeout;
  #ended = false;
  #saidHello = false;
  #offered: Offer | undefined;
  #inForce = '';
  #readsChanges = false;
  #readsSharedStore = false;
  #sentStore: Uint8Array | undefined;
  #readsSecrets = false;
  #sentSecrets: Uint8Array | undefined;
  /** Whether the offer that is being answered was sent as changes. */
  #sentChanges = false;
  /** Set while an answer of the sidecar is awaited. */
  #waiting: NodeJS.Timeout | undefined;
  readonly #questions = new ConsoleQuestions((message) => this.#call.write(message));
  #keyRequests = 0;
  #alerts = 0;
  #alertsSinceMs = Number.NEGATIVE_INFINITY;
  #keyRequestsSinceMs = Number.NEGATIVE_INFINITY;

  constructor(call: FollowCall, hooks: SidecarHooks) {
    this.#call = call;
    this.#hooks = hooks;
    // With jitter, so that the streams of a new leader do not all end at once.
    this.#age = setTimeout(() => this.end(status.OK, ''), MAX_STREAM_AGE_MS * (0.9 + Math.random() / 10));
    call.on('data', (message) => this.#receive(message));
    call.on('end', () => this.end(status.OK, ''));
    call.on('cancelled', () => this.#finish());
    call.on('error', () => this.#finish());
    this.#awaitAnswer(STRANGER_LIFE_MS);
  }

  offer(): void {
    this.#offerStore();
    this.#offerSecrets();
    const next = this.#hooks.wanted();
    const isBusy = this.#ended || !this.#saidHello || this.#waiting !== undefined;
    if (isBusy || next === undefined || next === this.#offered) {
      return;
    }
    this.#offered = next;
    this.#awaitAnswer(ANSWER_TIMEOUT_MS);
    this.#call.write(this.#messageOf(next));
  }

  /** Needs no answer: the sidecar reports whether it reaches the store. */
  #offerStore(): void {
    const store = this.#hooks.sharedStore();
    if (this.#ended || !this.#readsSharedStore || store === undefined || store === this.#sentStore) {
      return;
    }
    this.#sentStore = store;
    this.#call.write(store);
  }

  #offerSecrets(): void {
    const secrets = this.#hooks.detectorSecrets();
    if (this.#ended || !this.#readsSecrets || secrets === undefined || secrets === this.#sentSecrets) {
      return;
    }
    this.#sentSecrets = secrets;
    this.#call.write(secrets);
  }

  #messageOf({ version, versionOnly, changes, whole }: Offer): Uint8Array {
    if (version.version === this.#inForce) {
      return versionOnly;
    }
    this.#sentChanges = this.#readsChanges && changes?.base === this.#inForce;
    return this.#sentChanges && changes !== undefined ? changes.message : whole;
  }

  async ask(content: ConsoleContent): Promise<ConsoleReplyBody | undefined> {
    return this.#ended ? undefined : await this.#questions.ask(content);
  }

  end(code: status, details: string): void {
    if (this.#ended) {
      return;
    }
    this.#finish();
    // `end()` always sends the status OK.
    if (code === status.OK) {
      this.#call.end();
    } else {
      this.#call.emit('error', { code, details });
    }
    setTimeout(this.#hooks.drop, DROP_DELAY_MS).unref();
  }

  #finish(): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    clearTimeout(this.#waiting);
    clearTimeout(this.#age);
    this.#questions.close();
    this.#hooks.ended();
  }

  #awaitAnswer(timeoutMs: number): void {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.end(status.DEADLINE_EXCEEDED, 'the sidecar does not answer'), timeoutMs);
  }

  #answered(change: Partial<ConnectedSidecar>): void {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    if (change.acknowledged) {
      this.#inForce = change.acknowledged.version;
    }
    this.#hooks.reported(change);
    this.offer();
  }

  #keysRequested(url: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#keyRequestsSinceMs > KEY_REQUESTS_WINDOW_MS) {
      this.#keyRequestsSinceMs = nowMs;
      this.#keyRequests = 0;
    }
    this.#keyRequests++;
    if (this.#keyRequests <= MAX_KEY_REQUESTS && url.length <= MAX_KEYS_URL_CHARACTERS) {
      this.#hooks.keysRequested(url);
    }
  }

  #alertRaised({ number, content }: BudgetAlert): void {
    const nowMs = performance.now();
    if (nowMs - this.#alertsSinceMs > ALERTS_WINDOW_MS) {
      this.#alertsSinceMs = nowMs;
      this.#alerts = 0;
    }
    if (++this.#alerts > MAX_ALERTS) {
      return;
    }
    const stored = () => {
      if (!this.#ended) {
        this.#call.write(alertsKeptMessage([number]));
      }
    };
    const report = readThresholdReport(jsonOf(content));
    // An unreadable alert would come again for ever.
    if (report === undefined) {
      stored();
    } else {
      this.#hooks.alertRaised(report, stored);
    }
  }

  #receive({ message }: SidecarMessage): void {
    if (this.#ended) {
      return;
    }
    if (this.#saidHello === (message.case === 'hello')) {
      this.end(status.FAILED_PRECONDITION, this.#saidHello ? 'Hello came twice' : 'the first message must be Hello');
      return;
    }
    switch (message.case) {
      case 'hello': {
        this.#saidHello = true;
        const { programVersion, inForce, readsChanges, readsSharedStore } = message.value;
        const { readsDetectorSecrets: readsSecrets, answersConsole } = message.value;
        this.#readsChanges = readsChanges;
        this.#readsSharedStore = readsSharedStore;
        this.#readsSecrets = readsSecrets;
        const acknowledged = plainVersion(inForce);
        const contentDestinations = message.value.contentDestinations?.names;
        const reads = { readsSharedStore, readsSecrets, answersConsole, contentDestinations };
        this.#answered({ programVersion, ...reads, acknowledged, refused: undefined });
        return;
      }
      case 'acknowledge':
        this.#answered({ acknowledged: plainVersion(message.value.version), refused: undefined });
        return;
      case 'refuse': {
        const version = plainVersion(message.value.version);
        const reason = message.value.reason.slice(0, MAX_REASON_CHARACTERS);
        if (this.#sentChanges) {
          // The whole policy tells whether the policy or its changes are at fault.
          this.#readsChanges = false;
          this.#sentChanges = false;
          this.#offered = undefined;
          this.#answered({});
        } else if (version !== undefined) {
          this.#answered({ refused: { version, reason } });
        }
        return;
      }
      case 'configCheck':
        this.#hooks.reported({ configCheck: message.value });
        return;
      case 'sharedStoreReport': {
        const reason = message.value.reason.slice(0, MAX_REASON_CHARACTERS);
        this.#hooks.reported({ sharedStore: { ...message.value, reason } });
        return;
      }
      case 'budgetAlerts':
        for (const alert of message.value.alerts) {
          this.#alertRaised(alert);
        }
        return;
      case 'fullestBudgets': {
        const budgets = message.value.budgets.slice(0, MAX_REPORTED_BUDGETS);
        this.#hooks.stateReported({ budgets: budgets.flatMap((each) => readBudgetReport(jsonOf(each)) ?? []) });
        return;
      }
      case 'restingBackends': {
        const rests = message.value.rests.slice(0, MAX_REPORTED_RESTS);
        this.#hooks.stateReported({ rests: rests.flatMap((each) => readRestReport(jsonOf(each)) ?? []) });
        return;
      }
      case 'consoleReply':
        this.#questions.answered(message.value);
        return;
      case 'refetchKeys':
        this.#keysRequested(message.value.url);
        return;
      default:
        return;
    }
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
