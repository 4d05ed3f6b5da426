/** The part of the compiled policy that says which content leaves the gateway as records. */
import type { Principal } from './access-policy.ts';
import type { BuiltinDetectors, GuardrailDetector } from './guardrails.ts';

export const contentParts = ['Prompt', 'Response'] as const;

export type ContentPart = (typeof contentParts)[number];

export const contentDestinations = ['OTLPLogs', 'Spans', 'S3'] as const;

export type ContentDestination = (typeof contentDestinations)[number];

/** The environment variables by which an operator configures each destination. */
export const destinationVariables: Readonly<Record<ContentDestination, string>> = {
  OTLPLogs: 'TALLYGATE_CONTENT_EXPORT',
  Spans: 'OTEL_EXPORTER_OTLP_ENDPOINT',
  S3: 'TALLYGATE_CONTENT_EXPORT',
};

/** One AIContentPolicy. */
export interface ContentPolicy {
  /** `NAMESPACE/POLICY`. */
  readonly name: string;
  /** Never empty. */
  readonly content: readonly ContentPart[];
  /** Never empty. */
  readonly destinations: readonly ContentDestination[];
  /** Of the text of a prompt, and of an answer. */
  readonly maxBytes: number;
  /** From 1 to 100. */
  readonly samplingPercent: number;
  /** Empty: nothing is masked. */
  readonly redact: readonly Redaction[];
  readonly notifyHeader: boolean;
  /** A CEL expression over `request` and `caller`; see `condition.ts`. */
  readonly when?: string;
  /** Callers whose content is never kept. */
  readonly exempt: readonly Principal[];
}

/** What is masked in content. */
export interface Redaction {
  readonly detector: RedactionDetector;
  /** Has `{index}` and possibly `{type}`. */
  readonly placeholder: string;
}

/** The detectors of the gateway itself. */
export type RedactionDetector =
  | BuiltinDetectors
  | Extract<GuardrailDetector, { readonly type: 'Pattern' | 'PromptInjection' }>;
