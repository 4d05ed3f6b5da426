/**
 * Serves `tallygate quota`, `usage`, `explain`, `simulate`, `tail` and the console in the process
 * with the quota store:
 * HTTP on a Unix socket that only its owner can open.
 */
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AuditEntry, AuditTrail } from '../extproc/quota/audit.ts';
import type { MemoryStore } from '../extproc/quota/memory.ts';
import { type BudgetFilter, budgets, GrantError, grantBudget, resetBudgets } from '../extproc/quota/operator.ts';
import type { UsageArchive } from '../extproc/quota/usage-archive.ts';
import { type UsageGroup, usageGroups } from '../extproc/quota/usage-report.ts';
import { NO_SHARED_STORE, type UsageSet, usageSets } from '../extproc/quota/usage-share.ts';
import { errorMessage } from '../runtime/error-message.ts';
import type { Log } from '../runtime/log.ts';
import type { AccessLineTap } from './access-line-tap.ts';
import type { ConsoleCalls } from './console-calls.ts';
import type { RefusedRequests } from './refused-requests.ts';

export interface QuotaServer {
  close(): Promise<void>;
}

/** What the commands read and change. */
export interface QuotaBooks {
  readonly store: MemoryStore;
  readonly audit: AuditTrail;
  /** Undefined where no usage is kept. */
  readonly usage: UsageArchive | undefined;
  readonly refused: RefusedRequests;
  /** What the console shows; absent where nobody asks for it. */
  readonly console?: Pick<ConsoleCalls, 'answer'>;
  /** Absent: no access lines are written. */
  readonly lines?: AccessLineTap;
}

/** Of a user and a reason. */
const MAX_TEXT_CHARACTERS = 512;

/** Rejects with the system's error if the socket cannot be bound. */
export async function startQuotaServer(path: string, books: QuotaBooks, log: Log): Promise<QuotaServer> {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://quota');
    const call = `${request.method} ${pathname}`;
    if (call === 'GET /lines') {
      sendAccessLines(books, response);
      return;
    }
    const answered =
      call === 'GET /records'
        ? sendRecords(books, searchParams, response)
        : pathname.startsWith('/console/')
          ? answerConsole(books, call, searchParams, request, response)
          : isUsageCall(call)
            ? answerUsage(books, call, searchParams, response)
            : answerQuota(books, call, searchParams, response, log);
    answered.catch((error: unknown) => {
      const isAboutStore = searchParams.get('of') === 'shared' && !response.headersSent;
      if (error instanceof GrantError || isAboutStore) {
        response.writeHead(400, { 'content-type': 'text/plain' }).end(errorMessage(error));
        return;
      }
      log.error({ error }, 'operator request failed');
      response.destroy();
    });
  });
  server.maxConnections = 8;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    rmSync(path, { force: true });
    // The socket never exists with wider permissions.
    const before = process.umask(0o177);
    server.listen(path, resolve);
    process.umask(before);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sendAccessLines({ lines }: QuotaBooks, response: ServerResponse): void {
  const problem =
    lines === undefined
      ? 'the gateway writes no access lines; start it with TALLYGATE_ACCESS_LOG=on'
      : lines.follow(response)
        ? undefined
        : 'three commands follow the access lines already; end one of them';
  if (problem !== undefined) {
    response.writeHead(400, { 'content-type': 'text/plain' }).end(problem);
  }
}

async function answerQuota(
  books: QuotaBooks,
  call: string,
  query: URLSearchParams,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const { store } = books;
  const quota = query.get('quota') ?? undefined;
  const key = query.has('key') ? query.getAll('key') : undefined;
  if (call === 'GET /budgets') {
    await sendBudgets(store, { ...(quota !== undefined && { quota }), ...(key && { key }) }, response);
  } else if (call === 'GET /audit') {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.end(linesOf(books.audit.entries(quota)));
  } else if (call === 'POST /reset' && quota !== undefined) {
    const done = await resetBudgets(store, { quota, ...(key && { key }) }, Date.now);
    if (done.budgets > 0) {
      const { shared: _, ...reset } = done;
      record(books, { action: 'reset', quota, ...(key && { key }), ...reset }, query, log);
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(done)}\n`);
  } else if (call === 'POST /grant' && quota !== undefined) {
    const done = grantBudget(store, { quota, key: key ?? [], amount: query.get('amount') ?? '' }, Date.now());
    const { limit: _, shared: __, ...granted } = done;
    record(books, { action: 'grant', quota, ...(key && { key }), ...granted }, query, log);
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(done)}\n`);
  } else {
    response.writeHead(404).end();
  }
}

/** Keeps who did it, in the journal and in the log. */
function record(
  { store, audit }: QuotaBooks,
  done: Omit<AuditEntry, 'time' | 'by' | 'reason'>,
  query: URLSearchParams,
  log: Log,
): void {
  const text = (name: string) => query.get(name)?.slice(0, MAX_TEXT_CHARACTERS) ?? '';
  const reason = text('reason');
  const entry = { ...done, by: text('by'), ...(reason !== '' && { reason }) };
  audit.add({ time: new Date().toISOString(), ...entry });
  store.flush();
  log.warn(entry, done.action === 'reset' ? 'operator reset budgets' : 'operator granted more');
}

async function sendBudgets(store: MemoryStore, filter: BudgetFilter, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  for await (const one of budgets(store, filter, Date.now)) {
    if (response.destroyed) {
      return;
    }
    if (!response.write(`${JSON.stringify(one)}\n`)) {
      await drained(response);
    }
  }
  response.end();
}

/** Sends single requests, which take up to 512 MB, page by page. */
async function sendRecords({ usage }: QuotaBooks, query: URLSearchParams, response: ServerResponse): Promise<void> {
  const times = timesOf(query);
  const of = setOf(query);
  if (usage === undefined && of === 'shared') {
    throw new Error(NO_SHARED_STORE);
  }
  for (let afterId: number | undefined; usage !== undefined; ) {
    const { lines, lastId } = await usage.requests({ afterId, ...times }, of);
    writeHead(response);
    if (lastId === undefined || response.destroyed) {
      break;
    }
    afterId = lastId;
    if (!response.write(lines)) {
      await drained(response);
    }
  }
  writeHead(response);
  response.end();
}

function writeHead(response: ServerResponse): void {
  if (!response.headersSent) {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve).once('close', resolve);
  });
}

async function answerConsole(
  books: QuotaBooks,
  call: string,
  query: URLSearchParams,
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const answer = await books.console?.answer(call, query, headers);
  if (answer === undefined) {
    response.writeHead(404).end();
  } else {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(answer)}\n`);
  }
}

function isUsageCall(call: string): boolean {
  return call === 'GET /usage' || call === 'GET /requests';
}

async function answerUsage(
  { usage, refused }: QuotaBooks,
  call: string,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const lines = call === 'GET /usage' ? await sumsOf(usage, query) : await requestsOf(usage, refused, query);
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.end(linesOf(lines));
}

function linesOf(objects: readonly object[]): string {
  return objects.map((one) => `${JSON.stringify(one)}\n`).join('');
}

async function sumsOf(usage: UsageArchive | undefined, query: URLSearchParams): Promise<readonly object[]> {
  const by = query.getAll('by').filter((name): name is UsageGroup => Object.hasOwn(usageGroups, name));
  const of = setOf(query);
  if (usage === undefined && of === 'shared') {
    throw new Error(NO_SHARED_STORE);
  }
  return usage === undefined ? [] : await usage.report({ by, ...timesOf(query) }, of);
}

function setOf(query: URLSearchParams): UsageSet {
  return usageSets.find((set) => set === query.get('of')) ?? 'local';
}

function timesOf(query: URLSearchParams): { readonly sinceMs: number; readonly untilMs: number } {
  return {
    sinceMs: Number(query.get('since') ?? 0),
    untilMs: Number(query.get('until') ?? Number.MAX_SAFE_INTEGER),
  };
}

async function requestsOf(
  usage: UsageArchive | undefined,
  refused: RefusedRequests,
  query: URLSearchParams,
): Promise<readonly object[]> {
  const id = query.get('id') ?? '';
  const of = setOf(query);
  if (usage === undefined && of === 'shared') {
    throw new Error(NO_SHARED_STORE);
  }
  const refusals = of === 'shared' ? [] : refused.find(id);
  return [...refusals, ...(usage === undefined ? [] : await usage.explain(id, of))];
}
