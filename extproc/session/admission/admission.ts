/**
 * The way of one request through the steps of admission. A step refuses, passes the request on, or
 * waits for an event; the step that waits is the whole state of an admission. Pure.
 */
import type { ModelJudgeSettings } from '../../../contract/guardrails.ts';
import type { CallerIdentity } from '../../access/decide.ts';
import type { TokenVerifier } from '../../access/token-verifier.ts';
import type { ContentCapture } from '../../content/content-capture.ts';
import type { Failure } from '../../errors.ts';
import type { HeaderList } from '../../exchange.ts';
import type { RequestGuard } from '../../guard/guard.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { CompiledPassthrough, CompiledPolicy } from '../../policy/compile.ts';
import type { BucketRef, BucketSnapshot, Hold, OutputDemand } from '../../quota/store.ts';
import type { GuardCall, GuardFailure, QuotaDecision } from '../../record.ts';
import type { Attempts } from '../attempts.ts';
import type { OutputEstimates } from '../output-estimates.ts';
import type { Action, EventOf } from '../protocol.ts';
import type { PreparedRequest, Request } from '../request.ts';
import type { BackendSelection, RoutingDecision } from './select-backend.ts';

export interface AdmissionContext extends BackendSelection {
  readonly policy: CompiledPolicy;
  readonly verifier: TokenVerifier;
  /** Whether a newer policy no longer has the API key of the caller. */
  readonly isRevoked: (identity: CallerIdentity) => boolean;
  /** Whether the value of `JUDGE_HEADER` proves that a request comes from each of these judges. */
  readonly isJudge: (proof: string, judges: readonly ModelJudgeSettings[]) => boolean;
  readonly newId: () => string;
  readonly estimates: OutputEstimates;
  /** Responses do not name what the operator has configured. */
  readonly plainErrors: boolean;
}

/** One decision of admission. It passes on requests that it does not concern. */
export interface AdmissionStep {
  readonly name:
    | 'signIn'
    | 'access'
    | 'reply'
    | 'route'
    | 'permission'
    | 'plan'
    | 'requestLimits'
    | 'guard'
    | 'content'
    | 'reserve'
    | 'countTokens';
  run(admission: Admission, nowMs: number, out: Action[]): StepResult;
}

export type StepResult = Failure | GatewayReply | AdmissionWait | 'next';

/** The gateway replies itself, with 200 and a JSON body. */
export interface GatewayReply {
  readonly reply: Uint8Array;
  readonly headers?: HeaderList;
}

/** The events for which a step can wait. */
export type AdmissionEvent =
  | BodyComplete
  | EventOf<'tokens-verified' | 'counted' | 'inspected' | 'analyzed' | 'reserved' | 'quotas-read'>;

/** The request body, with its trailers if any, has arrived. */
export interface BodyComplete {
  readonly type: 'body-complete';
}

/** A step waits for an event, which it then handles. */
export interface AdmissionWait<Event extends AdmissionEvent = AdmissionEvent> {
  readonly event: Event['type'];
  /** Cancels what the step has asked for, where the request ends meanwhile. */
  readonly cancel: Action | undefined;
  resume(admission: Admission, event: Event, nowMs: number, out: Action[]): StepResult;
}

/** A granted reservation. */
export interface Held {
  readonly hold: Hold;
  readonly outputTokens: number;
  /** Corrected when the prompt is counted later. */
  inputTokens: number;
}

export type AdmissionResult = Failure | GatewayReply | 'waiting' | 'admitted';

export class Admission {
  readonly context: AdmissionContext;
  readonly request: Request;
  /** Undefined where no access policy applies. */
  identity: CallerIdentity | undefined;
  /** The group by which the caller was admitted. */
  group: string | undefined;
  /** The body of a collected request. */
  body: ScannedBody | undefined;
  choice: RoutingDecision | undefined;
  /** Present where guardrails apply to the request or its response. */
  guard: RequestGuard | undefined;
  /** The rules that could not look at a text. */
  readonly guardFailures: GuardFailure[] = [];
  /** The calls of services; undefined before the first, and in requests without a trace. */
  guardCalls: { readonly first: GuardCall[]; count: number } | undefined;
  /** Present where policies keep the content of the request or its response. */
  content: ContentCapture | undefined;
  passthrough: CompiledPassthrough | undefined;
  /** Absent for passthrough. With several attempts, that of the current one. */
  prepared: PreparedRequest | undefined;
  /** Present where other targets may serve the request within it. */
  attempts: Attempts | undefined;
  /** Returns the key of the client session; set once the body is read. */
  affinityKey: (() => string | undefined) | undefined;
  /** How the quotas were asked for output. */
  demandedOutput: OutputDemand['mode'] = 'none';
  /** The quotas that hold for the request, with their keys. */
  buckets: readonly BucketRef[] = [];
  decision: QuotaDecision = { type: 'none' };
  snapshots: readonly BucketSnapshot[] = [];
  held: Held | undefined;
  /** When the quota store was last asked. */
  reservingSinceMs = 0;
  readonly #steps: readonly AdmissionStep[];
  /** The position of the step that runs or waits. */
  #at = 0;
  #wait: AdmissionWait | undefined;

  constructor(request: Request, context: AdmissionContext, steps: readonly AdmissionStep[]) {
    this.request = request;
    this.context = context;
    this.#steps = steps;
  }

  /**
   * Whether the driver must stop reading: a step waits, and not for the body. What has been read
   * already may still come.
   */
  get blocked(): boolean {
    return this.#wait !== undefined && this.#wait.event !== 'body-complete' && !this.request.complete;
  }

  /** Runs the steps from the current one on, until one does not pass the request on. */
  run(nowMs: number, out: Action[]): AdmissionResult {
    for (; this.#at < this.#steps.length; this.#at++) {
      const result = this.#steps[this.#at]!.run(this, nowMs, out);
      if (result !== 'next') {
        return this.#stop(result);
      }
    }
    return 'admitted';
  }

  /** Resumes the step that waits for this event; does nothing where none does. */
  resume(event: AdmissionEvent, nowMs: number, out: Action[]): AdmissionResult {
    const wait = this.#wait;
    if (wait?.event !== event.type) {
      return 'waiting';
    }
    this.#wait = undefined;
    const result = wait.resume(this, event, nowMs, out);
    if (result !== 'next') {
      return this.#stop(result);
    }
    this.#at++;
    return this.run(nowMs, out);
  }

  /** Cancels what the waiting step has asked for. */
  cancel(out: Action[]): void {
    if (this.#wait?.cancel !== undefined) {
      out.push(this.#wait.cancel);
    }
    this.#wait = undefined;
  }

  #stop(result: Exclude<StepResult, 'next'>): AdmissionResult {
    if ('event' in result) {
      this.#wait = result;
      return 'waiting';
    }
    return result;
  }
}
