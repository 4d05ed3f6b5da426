/** What one gateway process tells a console, over its quota socket or in the process itself. */
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import type { UsageSet } from '../../extproc/quota/usage-share.ts';
import { ask } from '../../runtime/unix-http.ts';
import type {
  BackendState,
  Bounded,
  BudgetRow,
  ConsoleSource,
  ConsoleUsageQuery,
  CredentialHeaders,
  Identification,
  LiveStream,
  RefusedRequest,
  StopOutcome,
} from './source.ts';
import { Turns } from './turns.ts';
import type { Viewer } from './viewer.ts';

const DEADLINE_MS = 10_000;

/** The quota socket has eight connections, and commands need some of them. */
const quickTurns = { atOnce: 3, rests: 0, maxWaiting: 256 } as const;
/** What reads all budgets or hours of usage takes a quarter of a processor at most. */
const reportTurns = { atOnce: 1, rests: 3, maxWaiting: 64 } as const;

/** Calls the gateway process, and rejects where that does not answer. */
export type GatewayCall = <Answer>(
  method: 'GET' | 'POST',
  path: string,
  query: URLSearchParams,
  headers?: Readonly<Record<string, string>>,
) => Promise<Answer>;

/** Returns what the gateway process behind a quota socket tells. */
export function socketSource(socketPath: string): ConsoleSource {
  return callSource(async <Answer>(...[method, path, query, headers = {}]: Parameters<GatewayCall>) => {
    const { status, body } = await ask(socketPath, method, `/console/${path}?${query}`, DEADLINE_MS, headers);
    if (status !== 200) {
      throw new Error(`the gateway answered ${status} for ${path}`);
    }
    return JSON.parse(body) as Answer;
  });
}

/** Returns what a gateway process tells, and bounds how much of its time that takes. */
export function callSource(call: GatewayCall): ConsoleSource {
  const quick = new Turns(quickTurns);
  const reports = new Turns(reportTurns);
  const rows = <Row>(path: string, viewer: Viewer, turns = quick) =>
    turns.run(() => call<Bounded<Row>>('GET', path, viewerQuery(viewer)));
  return {
    identify(credential: CredentialHeaders, among?: readonly string[]) {
      const query = new URLSearchParams(among && { among: among.join(',') });
      return quick.run(() => call<Identification>('GET', 'identify', query, { ...credential }));
    },
    usage({ by, sinceMs, untilMs, of }: ConsoleUsageQuery, viewer: Viewer) {
      const query = viewerQuery(viewer, of);
      query.append('since', String(sinceMs));
      query.append('until', String(untilMs));
      for (const name of by) {
        query.append('by', name);
      }
      return reports.run(() => call<Bounded<UsageSums>>('GET', 'usage', query));
    },
    budgets: (viewer) => rows<BudgetRow>('budgets', viewer, reports),
    streams: (viewer) => rows<LiveStream>('streams', viewer),
    async stop(id, by) {
      const query = new URLSearchParams({ id, by });
      return (await quick.run(() => call<{ readonly outcome: StopOutcome }>('POST', 'stop', query))).outcome;
    },
    refusals: (viewer) => rows<RefusedRequest>('refusals', viewer),
    requests(requestId, viewer, of) {
      const query = viewerQuery(viewer, of);
      query.append('id', requestId);
      return reports.run(() => call<Bounded<RefusedRequest>>('GET', 'requests', query));
    },
    backends: (viewer) => rows<BackendState>('backends', viewer),
  };
}

function viewerQuery({ operator, tenant, user, key }: Viewer, of?: UsageSet): URLSearchParams {
  return new URLSearchParams({
    operator: String(operator),
    ...(of !== undefined && { of }),
    ...(tenant !== undefined && { tenant }),
    ...(user !== undefined && { user }),
    ...(key !== undefined && { key }),
  });
}
