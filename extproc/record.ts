/**
 * The record of one finished request, from which the access line, metrics and spans are created.
 */
import type { ContentDestination, ContentPolicy } from '../contract/content.ts';
import type { FailoverCause } from '../contract/policy.ts';
import type { AuthenticationMethod, Caller } from './caller.ts';
import type { Failure } from './errors.ts';
import type { Interruption } from './interruption.ts';
import type { BucketRef } from './quota/store.ts';
import type { RequestTrace } from './trace-context.ts';
import type { Usage } from './usage.ts';

/**
 * As `gen_ai.operation.name` of OpenTelemetry. Those from `rerank` on are our own.
 */
export type Operation =
  | 'chat'
  | 'text_completion'
  | 'embeddings'
  | 'generate_content'
  | 'rerank'
  | 'image_generation'
  | 'speech'
  | 'transcription'
  | 'moderation'
  | 'count_tokens'
  | 'list_models'
  | 'read_quota'
  | 'read_sign_in';

/** Learned estimates are kept by model and route; both are named by the policy or bounded by it. */
export type EstimateKey = readonly [model: string, route: string];

/** Where a charge comes from: the provider's usage, our tokenizer, or some of each. */
export type UsageSource = 'provider' | 'estimated' | 'mixed';

/**
 * The content of an access line, without the overdrafts, which the quota store reports at
 * settlement.
 */
export interface RequestRecord {
  readonly requestId: string | undefined;
  /** Undefined where no request is traced. */
  readonly trace: RequestTrace | undefined;
  readonly route: string | undefined;
  readonly rule: string | undefined;
  readonly backend: string | undefined;
  readonly schema: string | undefined;
  /** Present where the backend speaks another API than the client. */
  readonly conversion: ConversionRecord | undefined;
  /** Why the backend rests since this request. */
  readonly failover: FailoverCause | undefined;
  /** All attempts in order, where failover within the request made several. */
  readonly attempts: readonly AttemptRecord[] | undefined;
  readonly operation: Operation | undefined;
  readonly method: string;
  readonly path: string;
  /**
   * The name that the client sent. It is a label in metrics only if a rule, a backend or a response
   * names it.
   */
  readonly model: string | undefined;
  readonly modelIsKnown: boolean;
  readonly responseModel: string | undefined;
  /** The service tier that the response names. */
  readonly serviceTier: string | undefined;
  /** The id of the response, and why its choices ended; only in requests with a trace. */
  readonly responseId: string | undefined;
  readonly finishReasons: readonly string[] | undefined;
  /** What the request asked for; only in requests with a trace. */
  readonly asked: AskedOutput | undefined;
  readonly stream: boolean;
  readonly status: number | undefined;
  readonly startMs: number;
  readonly endMs: number;
  /** When the last attempt was sent; undefined for a request that was not forwarded. */
  readonly forwardedMs: number | undefined;
  readonly firstTokenMs: number | undefined;
  readonly usage: Usage | undefined;
  readonly source: UsageSource | undefined;
  /** Undefined for models without prices. */
  readonly cost: RequestCost | undefined;
  /**
   * The part of `usage.output` that the provider produced, by its usual rate, while nobody read it.
   */
  readonly undeliveredTokens: number | undefined;
  /** Our count beside the provider's number, where both are known. */
  readonly estimatedOutputTokens: number | undefined;
  /** Undefined for clients that are no coding agents. */
  readonly agent: AgentIds | undefined;
  /** Undefined where no access policy applies, or where none decided. */
  readonly access: AccessRecord | undefined;
  /** Undefined where no guardrail applies. */
  readonly guard: GuardRecord | undefined;
  /** Undefined where no content leaves the gateway. */
  readonly content: UnredactedContent | undefined;
  readonly decision: QuotaDecision;
  readonly buckets: readonly BucketRef[];
  readonly failure: Failure | undefined;
  readonly clientLeft: boolean;
  /** The operator who stopped the request. */
  readonly stoppedBy: string | undefined;
  /** The backend or a timeout interrupted the exchange. */
  readonly broken: Interruption | undefined;
  /** The provider's id of the request. */
  readonly providerRequestId: string | undefined;
  /** No usage was reported and nothing could be counted. */
  readonly unmetered: boolean;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** What the output estimates take from this answer: tokens of its output and how long it took. */
  readonly observed:
    | { readonly key: EstimateKey; readonly outputTokens: number; readonly durationMs: number }
    | undefined;
}

export interface AskedOutput {
  /** The client's bound of each choice. */
  readonly outputTokens: number | undefined;
  readonly choices: number;
  readonly serviceTier: string | undefined;
}

/** One attempt at a backend. */
export interface AttemptRecord {
  readonly backend: string;
  /** Undefined for a backend that did not respond. */
  readonly status: number | undefined;
  /** Why the next attempt was made. */
  readonly cause: FailoverCause | undefined;
  readonly durationMs: number;
}

/** How a request was converted for its backend. */
export interface ConversionRecord {
  readonly providerApi: string;
  /** Fields of the request that the provider did not get. */
  readonly dropped: readonly string[];
}

/** What a request cost at the prices of its model. */
export interface RequestCost {
  readonly nanos: number;
  readonly currency: string;
  /** See `ModelPrices.catalog`. */
  readonly catalog: string | undefined;
}

/** What a coding agent says of itself. */
export interface AgentIds {
  readonly sessionId: string | undefined;
  readonly agentId: string | undefined;
  readonly parentAgentId: string | undefined;
}

export interface AccessRecord {
  readonly decision: 'admitted' | 'refused';
  /** Undefined for a request without a valid credential. */
  readonly caller: Caller | undefined;
  readonly method: AuthenticationMethod | undefined;
  /** The group by which the caller was admitted. */
  readonly group: string | undefined;
}

/** What the guardrails did to a request and its response. Contains no values. */
export interface GuardRecord {
  readonly rules: readonly RuleRecord[];
  readonly failures: readonly GuardFailure[];
  /** Undefined where no service was called, or the request has no trace. */
  readonly calls: GuardCalls | undefined;
}

/** One rule, with how often it found each type of value. */
export interface RuleRecord {
  /** `NAMESPACE/POLICY/RULE`. */
  readonly rule: string;
  readonly action: 'mask' | 'block' | 'monitor';
  readonly findings: Readonly<Record<string, number>>;
}

/** A text that a rule could not look at. */
export interface GuardFailure {
  /** `NAMESPACE/POLICY/RULE`. */
  readonly rule: string;
  readonly reason: string;
}

/** The calls of the services of guardrails that have ended, in this order. */
export interface GuardCalls {
  /** The first of them: a stream has one for each window of its text. */
  readonly first: readonly GuardCall[];
  /** The number of all. */
  readonly count: number;
}

/** One call of a service, with its retries. */
export interface GuardCall {
  /** `NAMESPACE/POLICY/RULE`. */
  readonly rule: string;
  readonly phase: 'request' | 'response';
  /** The type of the service. */
  readonly detector: string;
  readonly url: string;
  readonly startMs: number;
  readonly endMs: number;
  /** What the service said; undefined where there is no answer. */
  readonly verdict: 'allow' | 'block' | 'modify' | undefined;
  /** How many values the service found. */
  readonly findings: number;
  /** Why there is no answer. */
  readonly error: string | undefined;
}

/** The text that content policies keep, before its redaction, which alone reads the text. */
export interface UnredactedContent {
  /** Of each policy. */
  readonly policies: readonly ContentPolicy[];
  /** Returns what each policy keeps. Takes from 20 µs (prose) to 1 ms (numbers) for 10 KB. */
  redact(): readonly RecordedContent[];
  /** Returns what another thread needs for that, as plain data. */
  transfer(): unknown;
}

/** What one content policy keeps of a request: redacted and bounded. Never in access lines. */
export interface RecordedContent {
  /** `NAMESPACE/POLICY`. */
  readonly policy: string;
  readonly destinations: readonly ContentDestination[];
  /** Undefined where the policy keeps no prompts, or could not; then `drops` says why. */
  readonly prompt: RecordedPart | undefined;
  readonly response: RecordedPart | undefined;
  /** Why content is missing, once for each part. */
  readonly drops: readonly string[];
}

export interface RecordedPart {
  readonly texts: readonly RecordedText[];
  /** Whether text is missing. */
  readonly truncated: boolean;
}

export interface RecordedText {
  /** Whose words the text is, or what it is for. */
  readonly scope: 'system' | 'user' | 'assistant' | 'toolCall' | 'toolResult' | 'reasoning';
  readonly isJson: boolean;
  readonly text: string;
}

export type QuotaDecision =
  | { readonly type: 'none' }
  | { readonly type: 'admitted'; readonly queuedMs: number; readonly shadowRefused: readonly string[] }
  | { readonly type: 'refused'; readonly reason: string; readonly quota: string }
  | { readonly type: 'cut'; readonly queuedMs: number; readonly shadowRefused: readonly string[] };
