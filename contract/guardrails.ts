/** The part of the compiled policy that says which content may pass. */
import type { Principal } from './access-policy.ts';

/** One AIGuardrailPolicy. */
export interface GuardrailPolicy {
  /** `NAMESPACE/POLICY`. */
  readonly name: string;
  /** In the order in which they act. */
  readonly rules: readonly GuardrailRule[];
  /** Callers to whom no rule applies. */
  readonly exempt: readonly Principal[];
  /** The bounds of what streams hold back. */
  readonly holdBack: { readonly bytes: number; readonly ms: number };
}

export interface GuardrailRule {
  readonly name: string;
  /** Never empty. */
  readonly phases: readonly GuardrailPhase[];
  /** Whose text the rule reads; never empty. */
  readonly scope: readonly GuardrailScope[];
  readonly detector: GuardrailDetector;
  readonly action: GuardrailAction;
  /** What happens to a text that cannot be examined. */
  readonly onFailure: 'Closed' | 'Open';
  /** Of one call of a service, with its retries. */
  readonly timeoutMs: number;
  /** What happens to a finding in a text that a signature covers. */
  readonly onUnmaskable: 'Block' | 'Pass';
  /** A CEL expression over `request` and `caller`; see `condition.ts`. */
  readonly when?: string;
  /** Callers to whom the rule does not apply. */
  readonly exempt?: readonly Principal[];
}

export type GuardrailPhase = 'Request' | 'Response';

export const guardrailScopes = ['System', 'User', 'Assistant', 'ToolCall', 'ToolResult', 'Reasoning'] as const;

export type GuardrailScope = (typeof guardrailScopes)[number];

export type GuardrailAction =
  /** `placeholder` has `{index}` and possibly `{type}`. */
  | { readonly type: 'Mask'; readonly placeholder: string; readonly restore: boolean }
  | { readonly type: 'Block'; readonly message: string }
  | { readonly type: 'Monitor' }
  /** `placeholder` and `message` are for a service that gives none. */
  | {
      readonly type: 'FromDetector';
      readonly placeholder: string;
      readonly restore: boolean;
      readonly message: string;
    };

/** Scores are from 0 to 1. */
export type GuardrailDetector =
  | BuiltinDetectors
  | { readonly type: 'Pattern'; readonly expressions: readonly string[] }
  | { readonly type: 'PromptInjection'; readonly scoreThreshold: number }
  | ExternalDetectorSettings;

export interface BuiltinDetectors {
  readonly type: 'Builtin';
  readonly detectors: readonly BuiltinDetectorName[];
  /** Countries (ISO 3166) whose national phone numbers are found. */
  readonly phoneRegions?: readonly string[];
}

export const builtinDetectorNames = [
  'CreditCard',
  'IBAN',
  'Email',
  'Phone',
  'USSocialSecurityNumber',
  'GermanTaxID',
  'AustrianSocialSecurityNumber',
  'FrenchSocialSecurityNumber',
  'SpanishNationalID',
  'UKNationalInsuranceNumber',
  'UKNHSNumber',
  'IndianAadhaar',
  'IndianPAN',
  'BrazilianCPF',
  'BrazilianCNPJ',
  'IPAddress',
  'MACAddress',
  'CryptoWallet',
  'Secret',
] as const;

export type BuiltinDetectorName = (typeof builtinDetectorNames)[number];

/** A detector that a service outside of the gateway implements. */
export type ExternalDetectorSettings =
  | PresidioSettings
  | { readonly type: 'Webhook'; readonly service: DetectorService }
  | OpenAIModerationSettings
  | { readonly type: 'Lakera'; readonly service: DetectorService; readonly projectId?: string }
  | ModelJudgeSettings;

export interface PresidioSettings {
  readonly type: 'Presidio';
  readonly service: DetectorService;
  /** Absent: all. */
  readonly entities?: readonly string[];
  /** ISO 639. */
  readonly language: string;
  readonly scoreThreshold?: number;
}

export interface OpenAIModerationSettings {
  readonly type: 'OpenAIModeration';
  readonly service: DetectorService;
  readonly model: string;
  /** Absent: all. */
  readonly categories?: readonly string[];
  /** Absent: a category counts as the API flags it. */
  readonly scoreThreshold?: number;
}

export interface ModelJudgeSettings {
  readonly type: 'Model';
  readonly service: DetectorService;
  readonly model: string;
  /** Absent: those of extproc. */
  readonly instructions?: string;
  readonly scoreThreshold: number;
}

/** Where a service is and how extproc proves itself there. */
export interface DetectorService {
  readonly url: string;
  /**
   * The id of the API key, or of a webhook's signing secret: `NAMESPACE/SECRET/KEY`. The value is
   * not part of the policy.
   */
  readonly secret?: string;
  /** CA certificates (PEM); absent: those of the system. */
  readonly certificateAuthorities?: string;
  /** The ids of the client certificate and its private key: `NAMESPACE/SECRET/KEY`. */
  readonly clientCertificate?: { readonly chain: string; readonly privateKey: string };
}
