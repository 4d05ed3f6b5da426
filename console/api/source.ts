/**
 * What a console shows, from one machine or from all gateways of a cluster. Each answer is bounded,
 * and contains only rows that the viewer may see.
 */
import type { ExplainedRequest } from '../../extproc/quota/usage-explain.ts';
import type { UsageGroup, UsageSums } from '../../extproc/quota/usage-report.ts';
import type { UsageSet } from '../../extproc/quota/usage-share.ts';
import type { Owner, Viewer } from './viewer.ts';

export interface ConsoleSource {
  /** Identifies a caller by the access policies in force, or only by those with the names. */
  identify(credential: CredentialHeaders, among?: readonly string[]): Promise<Identification>;
  /** Returns the sums of each group, most tokens first, as `tallygate usage`. */
  usage(query: ConsoleUsageQuery, viewer: Viewer): Promise<Bounded<UsageSums>>;
  /** Returns the fullest budgets first. */
  budgets(viewer: Viewer): Promise<Bounded<BudgetRow>>;
  /** Returns the requests in flight, oldest first. */
  streams(viewer: Viewer): Promise<Bounded<LiveStream>>;
  /** Ends a request in flight for an operator. */
  stop(id: string, by: string): Promise<StopOutcome>;
  /** Returns the last requests that the gateway refused, newest first, as `tallygate explain`. */
  refusals(viewer: Viewer): Promise<Bounded<RefusedRequest>>;
  /** Returns what is known of the ended requests with this id, as `tallygate explain`. */
  requests(requestId: string, viewer: Viewer, of?: UsageSet): Promise<Bounded<RefusedRequest>>;
  backends(viewer: Viewer): Promise<Bounded<BackendState>>;
}

/** The first rows of all there are. */
export interface Bounded<Row> {
  readonly rows: readonly Row[];
  readonly total: number;
  /** On a cluster: gateways whose rows are missing. */
  readonly unanswered?: number;
  /** On a cluster: the rows of the shared store are missing, which has those of ended gateways. */
  readonly withoutStore?: true;
  /** Of one gateway that was asked for a set of usage: it has a shared store. */
  readonly sharesStore?: true;
}

/** The headers of a request that may carry an API key or a token. */
export type CredentialHeaders = Readonly<Partial<Record<'authorization' | 'x-api-key', string>>>;

export type Identification =
  /** No access policy is in force. */
  | { readonly type: 'open' }
  | ({ readonly type: 'caller'; readonly groups: readonly string[] } & Owner)
  /** `status` is 401, 403 or 503. */
  | { readonly type: 'refused'; readonly status: number; readonly message: string };

export interface ConsoleUsageQuery {
  readonly by: readonly UsageGroup[];
  readonly sinceMs: number;
  readonly untilMs: number;
  /** By default `local`. */
  readonly of?: UsageSet | undefined;
}

/** A budget with something spent or held. Amounts of money are decimal numbers in text. */
export interface BudgetRow {
  /** `NAMESPACE/POLICY/QUOTA`. */
  readonly quota: string;
  readonly key: readonly string[];
  /** What the values of the key are: `Tenant`, `User`, `Header x-team`, … */
  readonly keyNames: readonly string[];
  readonly window: string;
  readonly spent: number | string;
  readonly held: number | string;
  readonly limit: number | string;
  readonly currency?: string;
  readonly resetAt?: string;
  /** When the limit is spent at the rate of the current window; absent: not within the window. */
  readonly exhaustedAt?: string;
  /** Present where gateways share the budget: when the store counted what all have spent. */
  readonly sharedAt?: string;
}

/** A request in flight, with what it would be charged if it ended now. */
export interface LiveStream extends Owner {
  /** Names the request in `stop`. */
  readonly id: string;
  readonly requestId?: string;
  readonly model?: string;
  readonly route?: string;
  readonly backend?: string;
  /** False: the client waits for one document. */
  readonly stream: boolean;
  readonly startedAt: string;
  /** Until the first token; absent: none has arrived. */
  readonly firstTokenMs?: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** The tokens that the request holds of its quotas. */
  readonly heldTokens: number;
  readonly cost?: string;
  readonly currency?: string;
}

/** `unknown`: the request has ended. `completes`: the rest of a document still comes. */
export type StopOutcome = 'stopped' | 'unknown' | 'completes';

export interface RefusedRequest extends ExplainedRequest {
  /** The error text that the client got, with the fix. */
  readonly message?: string;
}

export interface BackendState {
  /** `NAMESPACE/BACKEND`. */
  readonly backend: string;
  /** Empty: healthy. */
  readonly rests: readonly BackendRest[];
}

/** Why and until when requests leave a backend out. */
export interface BackendRest {
  readonly cause: string;
  readonly until: string;
  /** Absent: for all models. */
  readonly model?: string;
  /** `NAMESPACE/ROUTE/RULE`; absent: for all rules. */
  readonly rule?: string;
}
