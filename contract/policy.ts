/**
 * The promise between the program that translates resources and the program that stands in the data path: what extproc must know, compiled.
 * Data only, no Kubernetes and no Envoy types, so that the data plane can be run and tested alone. `policy-text.ts` writes it as text, and
 * `policy-schema.ts` checks that text: a reader that meets another `formatVersion`, or anything that it does not know, keeps its last good policy.
 */

export const POLICY_FORMAT_VERSION = 2;

/** The wire schema that a backend speaks. */
export type Schema = 'OpenAI' | 'Anthropic' | 'HuggingFaceTGI';

export interface GatewayPolicy {
  readonly formatVersion: typeof POLICY_FORMAT_VERSION;
  /** Names this state of the policy: a digest of its content. */
  readonly version: string;
  readonly entries: readonly Entry[];
  readonly backends: readonly BackendPolicy[];
  readonly quotas: readonly Quota[];
}

/** One listener and hostname: the Envoy route that a request matches first. Its rules are the union of all routes there. */
export interface Entry {
  /** The names of Envoy routes (attribute `xds.route_name`) that lead here. */
  readonly routeNames: readonly string[];
  /** In order of precedence: the first rule that matches wins. */
  readonly rules: readonly Rule[];
  /** Endpoints beyond the known ones that may pass, in order. */
  readonly passthrough: readonly Passthrough[];
}

export interface Rule {
  /** `NAMESPACE/ROUTE`. */
  readonly route: string;
  /** The rule's name in its route. */
  readonly name: string;
  /** Exact names, or globs where `*` stands for any run of characters. Sorted by translate; never empty (`["*"]` matches all). */
  readonly models: readonly string[];
  readonly headers: readonly HeaderMatch[];
  readonly targets: readonly Target[];
  /** Ids of the quotas that hold here, from the Gateway down to the rule. All must pass. */
  readonly quotas: readonly string[];
  /** Bounds on one request, the smallest of all policies that hold here. */
  readonly requestLimits: { readonly inputTokens?: number; readonly outputTokens?: number };
  /** A larger request body is refused with 413. */
  readonly maxRequestBodyBytes: number;
  /** Milliseconds from the request's end until the first token of a streamed answer. */
  readonly firstTokenTimeoutMs?: number;
}

export interface HeaderMatch {
  /** Lower case. */
  readonly name: string;
  readonly type: 'Exact' | 'RegularExpression';
  /** An expression must match the whole header value. */
  readonly value: string;
}

/** A backend as one rule uses it. */
export interface Target {
  /** The value of `x-tallygate-route` that leads Envoy to this backend by this rule. */
  readonly id: string;
  /** `NAMESPACE/BACKEND`; see `GatewayPolicy.backends`. */
  readonly backend: string;
  /** What the backend calls the model; absent: what the client calls it. */
  readonly model?: string;
  /** Share among the targets of one priority; 0 takes none. */
  readonly weight: number;
  /** 0 first; a higher number takes over when no target of the lower ones is healthy. */
  readonly priority: number;
}

export interface Passthrough {
  readonly method: string;
  /** A path, or a prefix where it ends in `*`. */
  readonly path: string;
  readonly route: string;
  readonly rule: string;
  readonly target: string;
  /** Quotas on requests hold here too. */
  readonly quotas: readonly string[];
  /** A larger request body is refused with 413. */
  readonly maxRequestBodyBytes?: number;
}

export interface BackendPolicy {
  /** `NAMESPACE/BACKEND`. */
  readonly name: string;
  readonly schema: Schema;
  readonly tokenizer: Tokenizer;
  /** Facts about models; the first whose name (exact or glob) matches holds. */
  readonly models: readonly ModelFacts[];
}

/** `Auto`: by the model's name. `factorPercent` multiplies what the encoding counts, for models whose own tokenizer is not public. */
export interface Tokenizer {
  readonly encoding: 'Auto' | 'o200k_base' | 'o200k_harmony' | 'cl100k_base';
  readonly factorPercent?: number;
}

export interface ModelFacts {
  readonly name: string;
  /** The most that the model ever answers with, in tokens. */
  readonly maxOutputTokens?: number;
  /** The most that a prompt and its answer may have together, in tokens. */
  readonly contextTokens?: number;
  /** Whether the provider bills output that it does not stream (reasoning). `Auto`: by the model's name. */
  readonly hiddenOutput: 'Auto' | 'Yes' | 'No';
}

export type LimitType = 'Requests' | 'InputTokens' | 'OutputTokens' | 'TotalTokens';

export interface Quota {
  /** `NAMESPACE/POLICY/QUOTA`. */
  readonly id: string;
  readonly limit: { readonly type: LimitType; readonly amount: number };
  readonly window: Window;
  /** Each different tuple of values has a bucket of its own; empty: one bucket for all. */
  readonly key: readonly KeyPart[];
  readonly onMissingKey: 'Refuse' | 'Shared';
  readonly mode: 'Enforce' | 'Shadow';
  /** How long a request may wait for holds of others to be released. */
  readonly queueTimeoutMs: number;
  /** What becomes of requests whose cost cannot be bounded beforehand. */
  readonly unbounded: 'Allow' | 'Refuse';
  /** What becomes of requests while the journal cannot be written. */
  readonly onJournalLoss: 'FailClosed' | 'FailOpen';
  /** Whether passthrough may pass this quota although its tokens are not counted. */
  readonly unmetered: 'Allow' | 'Refuse';
  /** What an answer costs whose client left before unseen output could be counted. */
  readonly onAbandon: 'Hold' | 'Estimate';
}

export type Window =
  | { readonly type: 'Calendar'; readonly unit: CalendarUnit; readonly timeZone: string }
  | { readonly type: 'Sliding'; readonly durationMs: number }
  | { readonly type: 'Lifetime' };

/** `Week` starts on Monday (ISO 8601). */
export type CalendarUnit = 'Minute' | 'Hour' | 'Day' | 'Week' | 'Month';

export type KeyPart =
  | { readonly type: 'Header'; readonly name: string }
  /** The model: what the backend calls it, or the pattern that let it through where neither rule nor backend names it. */
  | { readonly type: 'Model' }
  /** `NAMESPACE/ROUTE`. */
  | { readonly type: 'Route' };
