/** The services that the sessions of a process share. */
import type { Tokenizer } from '../../contract/policy.ts';
import type { OpenCallers } from '../access/open-callers.ts';
import type { TokenVerifier } from '../access/token-verifier.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { Overdraft, QuotaStore } from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';
import type { Meter } from '../tokens/meter.ts';
import type { TraceOptions } from '../trace-context.ts';
import type { AdmissionContext } from './admission/admission.ts';
import type { Bodies } from './bodies.ts';
import type { CountQueue } from './counting.ts';
import type { FirstTokenTimes } from './first-token-times.ts';
import type { AnalyzeText } from './inspections.ts';
import type { Interruptions } from './interruptions.ts';
import type { OpenAttempts } from './open-attempts.ts';
import type { OutputEstimates } from './output-estimates.ts';
import type { PassiveHealth } from './passive-health.ts';

/** A stream that ends when the credential of its caller is revoked or expires. */
export interface RevocableStream {
  revoke(): void;
}

export interface SessionServices {
  policy(): CompiledPolicy | undefined;
  readonly verifier: TokenVerifier;
  readonly openCallers: OpenCallers<RevocableStream>;
  readonly store: QuotaStore;
  readonly estimates: OutputEstimates & {
    observe(model: string, route: string, outputTokens: number, durationMs: number): void;
  };
  readonly health: PassiveHealth;
  readonly firstTokenTimes: FirstTokenTimes;
  readonly counts: CountQueue;
  readonly compares: (nowMs: number) => boolean;
  readonly broken: Interruptions;
  readonly newMeter: (tokenizer: Tokenizer, model: string) => Meter;
  readonly newId: () => string;
  /** Undefined: no request is traced. */
  readonly traces: TraceOptions | undefined;
  readonly random: () => number;
  /** Milliseconds since 1970, with fractions. */
  readonly now: () => number;
  readonly finished: (record: RequestRecord, overdrafts: readonly Overdraft[]) => void;
  /** A fault of ours: it fails this one stream. */
  readonly fault: (error: unknown) => void;
  readonly bodies: Bodies;
  readonly openAttempts: OpenAttempts;
  readonly analyze: AnalyzeText;
  readonly isJudge: AdmissionContext['isJudge'];
  readonly plainErrors: boolean;
}
