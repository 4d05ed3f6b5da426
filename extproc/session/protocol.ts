/**
 * The events and actions of a session. It requests all input and output by an action and learns the
 * result by an event, so it can be replayed from a recording, and stores may answer at once or
 * later.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import type { CallerIdentity } from '../access/decide.ts';
import type { HeaderList, HeaderMutation, ImmediateResponse } from '../exchange.ts';
import type { ExternalGuardRule } from '../guard/compile.ts';
import type { Analysis, AnalyzeContext, DetectorError } from '../guard/external/external-detector.ts';
import type { GuardPhase } from '../guard/guard.ts';
import type { Interruption } from '../interruption.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type {
  BucketRef,
  BucketSnapshot,
  Charge,
  Decision,
  Demand,
  FlatCharge,
  Hold,
  OutputDemand,
} from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';
import type { BeginningRest } from './passive-health.ts';

export type SessionEvent =
  | {
      readonly type: 'request-headers';
      readonly headers: HeaderList;
      readonly endOfStream: boolean;
      readonly routeName: string | undefined;
      /** Of the client's connection. */
      readonly attributes?: ReadonlyMap<string, string>;
      /** Of Envoy's span, where Envoy traces the request. */
      readonly traceParent?: string | undefined;
    }
  | { readonly type: 'request-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'request-trailers' }
  | {
      readonly type: 'response-headers';
      readonly headers: HeaderList;
      readonly endOfStream: boolean;
      /** Envoy's `response.code_details`, where the listener sends the attribute. */
      readonly codeDetails?: string | undefined;
      /** The path of the request, also where Envoy replied before the request reached us. */
      readonly path?: string | undefined;
    }
  | { readonly type: 'response-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'response-trailers' }
  /** Decompressed bytes of the response; `inflate-end` follows the last ones. */
  | { readonly type: 'inflated'; readonly bytes: Uint8Array }
  | { readonly type: 'inflate-end'; readonly error: boolean }
  /** The process has no memory for more request bodies, and this one was chosen to end. */
  | { readonly type: 'overloaded' }
  /** The request body arrives too slowly. */
  | { readonly type: 'upload-late' }
  | { readonly type: 'tokens-verified' }
  /** The credential of the caller was revoked or has expired, and a policy ends such streams. */
  | { readonly type: 'revoked' }
  /** An operator ends the request. */
  | { readonly type: 'stopped'; readonly by: string }
  | { readonly type: 'counted'; readonly tokens: number }
  /** The inspection of the request can go no further on its own. */
  | { readonly type: 'inspected' }
  /** What a service says about the text with this id. */
  | {
      readonly type: 'analyzed';
      readonly id: number;
      readonly result: Analysis | DetectorError;
      readonly rule: ExternalGuardRule;
      readonly phase: GuardPhase;
      /** When the service was asked. */
      readonly askedMs: number;
    }
  | { readonly type: 'reserved'; readonly decision: Decision }
  | { readonly type: 'extended'; readonly tokens: number }
  | { readonly type: 'quotas-read'; readonly snapshots: readonly BucketSnapshot[] }
  | { readonly type: 'first-token-timeout' }
  /** Envoy begins an attempt at a backend. */
  | { readonly type: 'attempt'; readonly backend: string }
  /** The headers of the response to the current attempt. */
  | { readonly type: 'attempt-response'; readonly headers: HeaderList }
  | {
      readonly type: 'closed';
      readonly clean: boolean;
      /** Envoy's reason, if the client did not cause it. */
      readonly broken?: Interruption | undefined;
    };

export type EventOf<Type extends SessionEvent['type']> = Extract<SessionEvent, { type: Type }>;

export type Action = EnvoyAction | AttemptAction | ServiceAction;

export type ActionOf<Type extends Action['type']> = Extract<Action, { type: Type }>;

/** A message to Envoy. */
export type EnvoyAction =
  | { readonly type: 'request-headers'; readonly mutation: HeaderMutation }
  | { readonly type: 'request-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'request-trailers' }
  | { readonly type: 'response-headers'; readonly mutation: HeaderMutation }
  | { readonly type: 'response-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'response-trailers' }
  | { readonly type: 'immediate-response'; readonly response: ImmediateResponse }
  /** Ends our side of the stream. */
  | { readonly type: 'end' }
  /** Breaks the exchange off, where the response cannot end otherwise. */
  | { readonly type: 'abort' };

/** A message to Envoy about the attempts at the backends of a rule. */
export type AttemptAction =
  /**
   * As `request-headers`, for a request that Envoy sends to backends in this order; each attempt
   * gets headers and body of its own.
   */
  | { readonly type: 'request-attempts'; readonly mutation: HeaderMutation; readonly targets: readonly string[] }
  | { readonly type: 'attempt-request'; readonly mutation: HeaderMutation }
  | { readonly type: 'attempt-refused'; readonly response: ImmediateResponse }
  | { readonly type: 'attempt-response'; readonly mutation: HeaderMutation };

/** An action that Envoy does not see. */
export type ServiceAction =
  /** Change in the memory of the body, for the bound of the process; negative on release. */
  | { readonly type: 'keep'; readonly bytes: number }
  /** Sends `tokens-verified` when the promise is fulfilled; it is never rejected. */
  | { readonly type: 'verify-tokens'; readonly verified: Promise<void> }
  /** Sends `revoked` when a policy says so, until the session finishes. */
  | { readonly type: 'watch-caller'; readonly identity: CallerIdentity }
  | { readonly type: 'reserve'; readonly demand: Demand }
  | { readonly type: 'extend'; readonly hold: Hold; readonly output: OutputDemand }
  /** Reads the state of buckets; `quotas-read` has it in the same order. */
  | { readonly type: 'read-quotas'; readonly buckets: readonly BucketRef[] }
  /** Cancels the pending `reserve` or `extend`. */
  | { readonly type: 'cancel' }
  /** Counts the request's text in slices and stops beyond `limitTokens`. */
  | {
      readonly type: 'count';
      readonly body: ScannedBody;
      readonly tokenizer: Tokenizer;
      readonly model: string;
      readonly limitTokens: number;
    }
  /** Inspects the request in slices; `inspected` follows. */
  | { readonly type: 'inspect'; readonly inspection: Inspection }
  /** Stops the pending inspection and all analyses. */
  | { readonly type: 'stop-inspection' }
  /** Asks the service of a guardrail about a text; `analyzed` follows, unless it is stopped. */
  | {
      readonly type: 'analyze';
      /** Unique within the session. */
      readonly id: number;
      readonly rule: ExternalGuardRule;
      readonly text: string;
      readonly context: AnalyzeContext;
    }
  /** Stops the pending count; its text is released next. */
  | { readonly type: 'stop-count' }
  | { readonly type: 'inflate'; readonly encoding: string }
  | { readonly type: 'inflate-push'; readonly bytes: Uint8Array }
  | { readonly type: 'inflate-finish' }
  | { readonly type: 'start-timer'; readonly ms: number }
  | { readonly type: 'stop-timer' }
  | { readonly type: 'health'; readonly target: string; readonly well: boolean }
  /** Leaves the target out for a while. */
  | { readonly type: 'rest'; readonly rest: BeginningRest }
  /** How long a backend took until its first token, or has taken `ms` without one. */
  | { readonly type: 'first-token'; readonly key: string; readonly ms: number; readonly came: boolean }
  | { readonly type: 'finish'; readonly settle: Settle | undefined; readonly record: RequestRecord };

/** Work that is done in slices. */
export interface Inspection {
  /** Does a small step and returns the bytes that it took, or 0 where nothing is left to do. */
  step(): number;
}

export interface Settle {
  readonly hold: Hold;
  readonly charge: Charge | FlatCharge;
}
