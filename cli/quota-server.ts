/**
 * Serves `tallygate quota`, `usage` and `explain` in the process with the quota store: HTTP on a
 * Unix socket that only its owner can open.
 */
import { rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { MemoryStore } from '../extproc/quota/memory.ts';
import { type BudgetFilter, budgets, resetBudgets } from '../extproc/quota/operator.ts';
import type { UsageArchive } from '../extproc/quota/usage-archive.ts';
import { type UsageGroup, usageGroups } from '../extproc/quota/usage-report.ts';
import type { Log } from '../runtime/log.ts';
import type { RefusedRequests } from './refused-requests.ts';

export interface QuotaServer {
  close(): Promise<void>;
}

/** What the commands read and change. */
export interface QuotaBooks {
  readonly store: MemoryStore;
  /** Undefined where no usage is kept. */
  readonly usage: UsageArchive | undefined;
  readonly refused: RefusedRequests;
}

/** Rejects with the system's error if the socket cannot be bound. */
export async function startQuotaServer(path: string, books: QuotaBooks, log: Log): Promise<QuotaServer> {
  const { store } = books;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://quota');
    const quota = url.searchParams.get('quota') ?? undefined;
    const key = url.searchParams.has('key') ? url.searchParams.getAll('key') : undefined;
    const filter = { ...(quota !== undefined && { quota }), ...(key !== undefined && { key }) };
    const by = url.searchParams.get('by') ?? '';
    const call = `${request.method} ${url.pathname}`;
    const answered = isUsageCall(call)
      ? answerUsage(books, call, url.searchParams, response)
      : answer(call, filter, by, response);
    answered.catch((error: unknown) => {
      log.error({ error }, 'operator request failed');
      response.destroy();
    });
  });

  async function answer(call: string, filter: BudgetFilter, by: string, response: ServerResponse): Promise<void> {
    if (call === 'GET /budgets') {
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
    } else if (call === 'POST /reset' && filter.quota !== undefined) {
      const done = await resetBudgets(store, { ...filter, quota: filter.quota }, Date.now);
      // Records who reset the budgets.
      log.warn({ quota: filter.quota, ...(filter.key && { key: filter.key }), ...done, by }, 'operator reset budgets');
      response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(done)}\n`);
    } else {
      response.writeHead(404).end();
    }
  }

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

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve).once('close', resolve);
  });
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
  const lines =
    call === 'GET /usage' ? await sumsOf(usage, query) : await requestsOf(usage, refused, query.get('id') ?? '');
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

async function sumsOf(usage: UsageArchive | undefined, query: URLSearchParams): Promise<readonly object[]> {
  const by = query.getAll('by').filter((name): name is UsageGroup => Object.hasOwn(usageGroups, name));
  const sinceMs = Number(query.get('since') ?? 0);
  const untilMs = Number(query.get('until') ?? Number.MAX_SAFE_INTEGER);
  return usage === undefined ? [] : await usage.report({ by, sinceMs, untilMs });
}

async function requestsOf(
  usage: UsageArchive | undefined,
  refused: RefusedRequests,
  id: string,
): Promise<readonly object[]> {
  return [...refused.find(id), ...(usage === undefined ? [] : await usage.explain(id))];
}
