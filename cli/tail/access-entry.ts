/** An access line as `tallygate tail` reads it. Anyone may have written the file. */

/** Has only fields of the expected type. */
export interface AccessEntry {
  readonly time: string;
  readonly requestId?: string;
  readonly status?: number;
  readonly decision: string;
  readonly durationMs: number;
  readonly operation?: string;
  readonly route?: string;
  readonly rule?: string;
  readonly backend?: string;
  readonly model?: string;
  readonly responseModel?: string;
  /** Of the caller, then the values of the headers in the keys of quotas. */
  readonly tenants: readonly string[];
  readonly user?: string;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cost?: string;
  readonly currency?: string;
  /** What went wrong, or otherwise than usual. */
  readonly error?: string;
  readonly quota?: string;
  readonly reason?: string;
  readonly stoppedBy?: string;
  readonly backendFailure?: string;
  readonly failover?: string;
  readonly clientLeft: boolean;
  readonly hasOverdraft: boolean;
  readonly guardActions: readonly string[];
}

type LineFields = Readonly<Record<string, unknown>>;

/** Returns undefined for anything but an access line. */
export function readEntry(value: unknown): AccessEntry | undefined {
  const line = fieldsOf(value);
  const { time, decision, durationMs } = line;
  if (typeof time !== 'string' || typeof decision !== 'string' || typeof durationMs !== 'number') {
    return undefined;
  }
  const caller = fieldsOf(line['caller']);
  const tokens = fieldsOf(line['tokens']);
  const tenants = [caller['tenant'], ...Object.values(fieldsOf(line['tenant']))];
  const guardrails = Object.values(fieldsOf(line['guardrails'])).map(fieldsOf);
  const entry = {
    ...texts(line),
    ...numbers({ status: line['status'], inputTokens: tokens['input'], outputTokens: tokens['output'] }),
    ...(typeof caller['user'] === 'string' && { user: caller['user'] }),
    time,
    decision,
    durationMs,
    tenants: tenants.filter((each) => typeof each === 'string'),
    clientLeft: line['clientLeft'] === true,
    hasOverdraft: Array.isArray(line['overdrafts']) && line['overdrafts'].length > 0,
    guardActions: [
      ...new Set(
        guardrails
          .map(({ action, failure }) => (failure === undefined ? action : 'failure'))
          .filter((each) => typeof each === 'string'),
      ),
    ],
  };
  return entry;
}

const textNames = [
  'requestId',
  'operation',
  'route',
  'rule',
  'backend',
  'model',
  'responseModel',
  'cost',
  'currency',
  'error',
  'quota',
  'reason',
  'stoppedBy',
  'backendFailure',
  'failover',
] as const;

function texts(line: LineFields): Partial<Record<(typeof textNames)[number], string>> {
  return Object.fromEntries(textNames.map((name) => [name, line[name]]).filter(([, text]) => typeof text === 'string'));
}

function numbers<Name extends string>(values: Readonly<Record<Name, unknown>>): Partial<Record<Name, number>> {
  const known = Object.entries(values).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(known) as Partial<Record<Name, number>>;
}

function fieldsOf(value: unknown): LineFields {
  return typeof value === 'object' && value !== null ? (value as LineFields) : {};
}
