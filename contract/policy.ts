/**
 * The contract between translate and the data plane: the compiled policy that extproc follows. Data
 * only, without Kubernetes or Envoy types, so that the data plane runs and is tested alone.
 * `policy-text.ts` serializes it and `policy-schema.ts` validates it. A reader that meets another
 * `formatVersion`, or anything unknown, keeps its last good policy.
 */

import type { AccessPolicy, ApiKeyShard, SignIn } from './access-policy.ts';
import type { ContentPolicy } from './content.ts';
import type { GuardrailPolicy } from './guardrails.ts';
import type { ModelPrices, PriceChange, TokenWeight } from './tokens.ts';

export const POLICY_FORMAT_VERSION = 6;

/** The provider API of a backend. */
export type ProviderApi =
  | 'OpenAI'
  | 'Anthropic'
  | 'HuggingFaceTGI'
  | 'AWSBedrock'
  | 'GoogleGemini'
  | 'GCPVertexAI'
  | 'AzureOpenAI'
  | 'Cohere';

/** Servers of OpenAI's API that differ in what bounds or counts a response. */
export const openAiDialects = [
  'OpenAI',
  'DeepSeek',
  'Fireworks',
  'Groq',
  'Mistral',
  'Ollama',
  'OpenRouter',
  'SGLang',
  'Together',
  'VLLM',
  'XAI',
] as const;

export type OpenAiDialect = (typeof openAiDialects)[number];

export interface GatewayPolicy {
  readonly formatVersion: typeof POLICY_FORMAT_VERSION;
  /** A digest of the content. */
  readonly version: string;
  readonly virtualHosts: readonly VirtualHost[];
  readonly backends: readonly BackendPolicy[];
  readonly quotas: readonly Quota[];
  readonly accessPolicies: readonly AccessPolicy[];
  readonly apiKeyShards: readonly ApiKeyShard[];
  /** Absent: none. */
  readonly guardrailPolicies?: readonly GuardrailPolicy[];
  /** Absent: none. */
  readonly contentPolicies?: readonly ContentPolicy[];
}

/** One listener and host name. Its rules are the union of all routes attached there. */
export interface VirtualHost {
  /** The Envoy route names (attribute `xds.route_name`) that belong to this virtual host. */
  readonly routeNames: readonly string[];
  /** In order of precedence: the first rule that matches wins. */
  readonly rules: readonly Rule[];
  /** Further endpoints to forward unread, in order of precedence. */
  readonly passthrough: readonly Passthrough[];
  /**
   * Names of the access policies that apply to every rule and passthrough here: callers are
   * identified before the body is read.
   */
  readonly access: readonly string[];
  /** How command lines sign in; absent: the gateway does not publish it. */
  readonly signIn?: SignIn;
}

export interface Rule {
  /** `NAMESPACE/ROUTE`. */
  readonly route: string;
  /** The name of the rule within its route. */
  readonly name: string;
  /**
   * Exact names, or globs where `*` matches any characters. Sorted; never empty (`["*"]` matches
   * all).
   */
  readonly models: readonly string[];
  readonly headers: readonly HeaderMatch[];
  readonly targets: readonly Target[];
  /** Ids of the quotas that apply, from the Gateway down to the rule. All must admit a request. */
  readonly quotas: readonly string[];
  /** Names of the access policies that apply, from the Gateway down. All must admit a request. */
  readonly access: readonly string[];
  /** Names of the guardrail policies that apply, from the Gateway down; absent: none. */
  readonly guardrails?: readonly string[];
  /** Names of the content policies that apply, from the Gateway down; absent: none. */
  readonly content?: readonly string[];
  /** Limits on a single request: the smallest of all policies that apply. */
  readonly requestLimits: { readonly inputTokens?: number; readonly outputTokens?: number };
  /** Larger request bodies are refused with 413. */
  readonly maxRequestBodyBytes: number;
  /** From the end of the request to the first token of a streamed answer. */
  readonly firstTokenTimeoutMs?: number;
  /**
   * Fields of a request that its backend's API does not have are dropped. Absent: the request is
   * refused.
   */
  readonly unsupported?: 'Drop';
  /** Absent: a failed backend rests only by outlier detection, and clients decide about retries. */
  readonly failover?: Failover;
  /** A client session stays with one target while that is well; absent: weights alone decide. */
  readonly affinity?: 'Session';
  /** How targets of one priority share requests without affinity; absent: by their weights. */
  readonly loadBalancer?: 'LeastCost' | 'LeastLatency';
}

/** What makes a backend rest at once, and how another one serves the request. */
export interface Failover {
  readonly on: readonly FailoverCause[];
  /** How often one request may be sent to a backend in all. */
  readonly attempts: number;
  /** How long a failed backend rests if the provider names no time. */
  readonly cooldownMs: number;
  /** Absent: another backend serves only the client's own retry. */
  readonly withinRequest?: AttemptRoutes;
}

/** Where Envoy sends one request to several backends, one after the other. */
export interface AttemptRoutes {
  /** The value of `x-tallygate-route` that selects the route to all of these backends. */
  readonly route: string;
  /** The same for streams, where their first-token timeout ends an attempt. */
  readonly timedRoute?: string;
  readonly targets: readonly AttemptTarget[];
}

export interface AttemptTarget {
  /** `Target.id`; Envoy's route knows the target by it, too. */
  readonly id: string;
  /** The prefix of the path that the backend has in place of the gateway's; both end in a slash. */
  readonly rewrite?: { readonly from: string; readonly to: string };
}

export type FailoverCause = 'ConnectFailure' | '5xx' | 'RateLimited' | 'FirstTokenTimeout';

export interface HeaderMatch {
  /** Lower case. */
  readonly name: string;
  readonly type: 'Exact' | 'RegularExpression';
  /** A regular expression must match the whole header value. */
  readonly value: string;
}

/** A backend of a rule. */
export interface Target {
  /** The value of `x-tallygate-route` that selects the generated route to this backend. */
  readonly id: string;
  /** `NAMESPACE/BACKEND`; see `GatewayPolicy.backends`. */
  readonly backend: string;
  /** The backend's name of the model. Absent: the client's name. */
  readonly model?: string;
  /** Share among the targets of one priority; 0: no requests. */
  readonly weight: number;
  /** 0 comes first; a higher number takes over when no lower-numbered target is healthy. */
  readonly priority: number;
}

export interface Passthrough {
  readonly method: string;
  /** A path, or a prefix if it ends in `*`. */
  readonly path: string;
  readonly route: string;
  readonly rule: string;
  readonly target: string;
  /** Ids of the quotas that apply; only quotas on requests can count here. */
  readonly quotas: readonly string[];
  /** Names of the access policies that apply, from the Gateway down. All must admit a request. */
  readonly access: readonly string[];
  /** Names of the guardrail policies that apply, from the Gateway down; absent: none. */
  readonly guardrails?: readonly string[];
  /** Larger request bodies are refused with 413. */
  readonly maxRequestBodyBytes?: number;
}

export interface BackendPolicy {
  /** `NAMESPACE/BACKEND`. */
  readonly name: string;
  readonly schema: ProviderApi;
  /** Of OpenAI: whose server it is; absent: OpenAI's. */
  readonly dialect?: OpenAiDialect;
  /** Of AzureOpenAI: `preview` or a date; absent: the v1 API. */
  readonly azureApiVersion?: string;
  readonly tokenizer: Tokenizer;
  /** Facts about models; the first entry whose name (exact or glob) matches applies. */
  readonly models: readonly ModelFacts[];
  /** Of GCPVertexAI and AWSBedrock: what the provider is told of each request; absent: nothing. */
  readonly requestLabels?: readonly RequestLabel[];
}

export interface RequestLabel {
  readonly name: string;
  readonly source: LabelSource;
}

/** Clients choose none of these. */
export type LabelSource =
  | { readonly type: 'Value'; readonly value: string }
  | Exclude<KeyPart, { readonly type: 'Header' | 'Model' }>;

/**
 * `Auto`: decided by the model's name. `factorPercent` scales the count, for models without a
 * public tokenizer.
 */
export interface Tokenizer {
  readonly encoding: 'Auto' | 'o200k_base' | 'o200k_harmony' | 'cl100k_base';
  readonly factorPercent?: number;
}

export interface ModelFacts {
  readonly name: string;
  /** The longest answer of the model. */
  readonly maxOutputTokens?: number;
  /** The maximum of prompt and answer together. */
  readonly contextTokens?: number;
  /**
   * Whether the provider bills output that it does not stream (reasoning). `Auto`: decided by the
   * model's name.
   */
  readonly reasoningTokens: 'Auto' | 'Billed' | 'None';
  readonly prices?: ModelPrices;
  /** In the order of their time. */
  readonly priceChanges?: readonly PriceChange[];
}

export type Limit = CountLimit | CostLimit | WeightedLimit;
export type LimitType = Limit['type'];

export interface CountLimit {
  readonly type: 'Requests' | 'InputTokens' | 'OutputTokens' | 'TotalTokens' | 'ConcurrentRequests';
  readonly amount: number;
}

export interface CostLimit {
  readonly type: 'Cost';
  /** Nano-units of the currency. */
  readonly amount: number;
  /** ISO 4217. */
  readonly currency: string;
  /** What happens to requests for models without prices in this currency. */
  readonly unpriced: 'Allow' | 'Refuse';
}

export interface WeightedLimit {
  readonly type: 'WeightedTokens';
  /** Thousandths of a token. */
  readonly amount: number;
  readonly weight: TokenWeight;
}

export interface Quota {
  /** `NAMESPACE/POLICY/QUOTA`. */
  readonly id: string;
  readonly limit: Limit;
  readonly window: Window;
  /** A CEL expression over `request` and `caller`; absent: every request counts. */
  readonly when?: string;
  /** Each distinct tuple of values has a separate bucket. Empty: one bucket for all requests. */
  readonly key: readonly KeyPart[];
  /** The first whose condition matches the key replaces the amount of the limit. */
  readonly overrides?: readonly AmountOverride[];
  /** Percent of the amount, ascending: usage that reaches one is reported. */
  readonly alertAt?: readonly number[];
  readonly onMissingKey: 'Refuse' | 'Shared';
  readonly mode: 'Enforce' | 'Shadow';
  /** How long a request may wait for other requests to release their holds. */
  readonly queueTimeoutMs: number;
  /** What happens to requests whose cost has no upper bound at admission. */
  readonly unbounded: 'Allow' | 'Refuse';
  /** What happens to requests while the journal cannot be written. */
  readonly onJournalLoss: 'FailClosed' | 'FailOpen';
  /** What happens to requests while the shared store cannot be reached. */
  readonly onStoreLoss: 'FailClosed' | 'FailOpen' | 'Degrade';
  /** Whether passthrough requests, whose tokens are not counted, may pass this token quota. */
  readonly unmetered: 'Allow' | 'Refuse';
  /**
   * The cost of an abandoned request when the provider may have generated output that was never
   * seen.
   */
  readonly onAbandon: 'Hold' | 'Estimate';
}

export interface AmountOverride {
  /** A CEL expression over the parts of the key; see `key-condition.ts`. */
  readonly when: string;
  /** In the unit of the limit. */
  readonly amount: number;
}

export type Window =
  | { readonly type: 'Calendar'; readonly unit: CalendarUnit; readonly timeZone: string }
  | { readonly type: 'Sliding'; readonly durationMs: number }
  | { readonly type: 'Lifetime' }
  /** Of `ConcurrentRequests`: only holds count. */
  | { readonly type: 'None' };

/** A `Week` starts on Monday (ISO 8601). */
export type CalendarUnit = 'Minute' | 'Hour' | 'Day' | 'Week' | 'Month';

export type KeyPart =
  | { readonly type: 'Header'; readonly name: string }
  /**
   * The backend's name of the model, or the matched pattern if neither rule nor backend names the
   * model.
   */
  | { readonly type: 'Model' }
  /** `NAMESPACE/ROUTE`. */
  | { readonly type: 'Route' }
  /** The caller's tenant or user, as the outermost access policy that authenticates defines it. */
  | { readonly type: 'Tenant' }
  | { readonly type: 'User' }
  /** The group that the `allow` rule names by which the caller was admitted. */
  | { readonly type: 'Group' }
  /** `NAMESPACE/SECRET` of the API key. */
  | { readonly type: 'APIKey' }
  /** A claim of the caller's token with one value. */
  | { readonly type: 'Claim'; readonly claim: string };
