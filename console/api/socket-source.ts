/** What the gateway process on this machine tells a console over its quota socket. */
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
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
import type { Viewer } from './viewer.ts';

const DEADLINE_MS = 10_000;

/** Calls reject where no gateway answers. */
export function socketSource(socketPath: string): ConsoleSource {
  const call = async <Answer>(
    method: 'GET' | 'POST',
    path: string,
    query: URLSearchParams,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const { status, body } = await ask(socketPath, method, `/console/${path}?${query}`, DEADLINE_MS, headers);
    if (status !== 200) {
      throw new Error(`the gateway answered ${status} for ${path}`);
    }
    return JSON.parse(body) as Answer;
  };
  const rows = <Row>(path: string, viewer: Viewer) => call<Bounded<Row>>('GET', path, viewerQuery(viewer));
  return {
    identify: (credential: CredentialHeaders) =>
      call<Identification>('GET', 'identify', new URLSearchParams(), { ...credential }),
    usage({ by, sinceMs, untilMs }: ConsoleUsageQuery, viewer: Viewer) {
      const query = viewerQuery(viewer);
      query.append('since', String(sinceMs));
      query.append('until', String(untilMs));
      for (const name of by) {
        query.append('by', name);
      }
      return call<Bounded<UsageSums>>('GET', 'usage', query);
    },
    budgets: (viewer) => rows<BudgetRow>('budgets', viewer),
    streams: (viewer) => rows<LiveStream>('streams', viewer),
    async stop(id, by) {
      const query = new URLSearchParams({ id, by });
      return (await call<{ readonly outcome: StopOutcome }>('POST', 'stop', query)).outcome;
    },
    refusals: (viewer) => rows<RefusedRequest>('refusals', viewer),
    backends: (viewer) => rows<BackendState>('backends', viewer),
  };
}

function viewerQuery({ operator, tenant, user, key }: Viewer): URLSearchParams {
  return new URLSearchParams({
    operator: String(operator),
    ...(tenant !== undefined && { tenant }),
    ...(user !== undefined && { user }),
    ...(key !== undefined && { key }),
  });
}
