import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CloudEvent, HTTP } from 'cloudevents';
import { usageText } from '../journal-record.ts';
import { openQuotaStore } from '../open.ts';
import { bucket, charge, demand, granted, quota, reserve, settle } from '../testing.ts';
import { UsageDatabase } from '../usage-database.ts';
import { type UsageRecord, usageRow } from '../usage-record.ts';
import { usageDefaults } from '../usage-tables.ts';
import { cloudEventsSender } from './cloud-events.ts';
import { type ExportState, exportUsage } from './exporter.ts';
import { otlpSender } from './otlp.ts';
import type { UsageSender } from './sender.ts';
import { parseExportHeaders, parseExportTargets } from './target.ts';

let folder: string;
let stops: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'export-'));
});
afterEach(async () => {
  for (const stop of stops.reverse()) {
    await stop();
  }
  stops = [];
  rmSync(folder, { recursive: true });
});

const usage = {
  input: 5,
  output: 2,
  cachedInput: 3,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 1,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};

function record(requestId: string, timeMs = Date.now()): UsageRecord {
  return {
    subject: {
      requestId,
      tenant: 'acme',
      user: undefined,
      apiKey: undefined,
      model: 'gpt',
      route: 'default/chat',
      backend: 'default/openai',
      session: undefined,
    },
    timeMs,
    served: 'gpt-2026',
    status: 200,
    decision: 'admitted',
    source: 'provider',
    usage,
    cost: { nanos: 1_500_000_000, currency: 'USD', catalog: undefined },
    overdrafts: [],
  };
}

/** A collector that answers with the statuses of `answers` first, and then accepts. */
class Collector {
  readonly requests: { readonly headers: IncomingMessage['headers']; readonly body: string }[] = [];
  answers: (body: string) => number = () => 200;
  #server: Server | undefined;
  port = 0;

  async start(): Promise<void> {
    this.#server = createServer(async (request, response) => {
      const body = Buffer.concat(await request.toArray()).toString();
      const status = this.answers(body);
      if (status === 200) {
        this.requests.push({ headers: request.headers, body });
      }
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    }).listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1/logs`;
  }

  get events(): readonly CloudEvent<{ readonly requestId: string; readonly cost: string }>[] {
    return this.requests.flatMap(({ headers, body }) => HTTP.toEvent({ headers, body }) as never);
  }

  /** The attributes of all log records, in OTLP's JSON. */
  get logs(): readonly Readonly<Record<string, unknown>>[] {
    interface Logs {
      resourceLogs: {
        scopeLogs: {
          logRecords: { attributes: { key: string; value: Record<string, unknown> }[]; timeUnixNano: string }[];
        }[];
      }[];
    }
    return this.requests
      .flatMap(({ body }) => (JSON.parse(body) as Logs).resourceLogs)
      .flatMap(({ scopeLogs }) => scopeLogs)
      .flatMap(({ logRecords }) => logRecords)
      .map(({ attributes, timeUnixNano }) => ({
        timeUnixNano,
        ...Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
      }));
  }
}

async function collector(): Promise<Collector> {
  const started = new Collector();
  await started.start();
  stops.push(() => started.stop());
  return started;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < endMs, what);
    await sleep(5);
  }
}

/** A file of usage with an exporter that runs until `stop`. */
function exporting(newSender: (source: string) => UsageSender, retention = usageDefaults) {
  const database = new UsageDatabase(join(folder, 'usage'), retention);
  const closing = new AbortController();
  const states: ExportState[] = [];
  const source = database.tables.source('here');
  const running = exportUsage(database.tables, {
    target: 't',
    sender: newSender(source),
    source,
    signal: closing.signal,
    onState: (state) => states.push(state),
    pollMs: 5,
    retryMs: 5,
  });
  const stop = async () => {
    closing.abort();
    await running;
    database.close();
  };
  const write = (first: number, count: number, timeMs?: number) => {
    const rows = Array.from({ length: count }, (_, nth) =>
      JSON.stringify(usageRow(record(`r${first + nth}`, timeMs), undefined)),
    );
    database.writeText(usageText(first + count - 1, rows));
  };
  return { write, stop, states, tables: database.tables };
}

const names = (count: number, first = 1) => Array.from({ length: count }, (_, nth) => `r${first + nth}`);

test('a collector gets each record as an OTLP log record', async () => {
  const to = await collector();
  const { write, stop } = exporting((source) => otlpSender(to.url, { authorization: 'Bearer x' }, source));
  write(1, 450);
  await until('450 records', () => to.logs.length >= 450);
  await stop();
  const [first] = to.logs;
  assert.deepEqual(
    [
      first?.['tallygate.usage.id'],
      first?.['tallygate.tenant'],
      first?.['gen_ai.request.model'],
      first?.['gen_ai.usage.input_tokens'],
      first?.['tallygate.cost'],
    ],
    ['here-1', 'acme', 'gpt', 5, '1.5'],
  );
  assert.deepEqual(
    to.logs.map((log) => log['tallygate.request.id']),
    names(450),
  );
  assert.equal(to.requests[0]?.headers.authorization, 'Bearer x');
  assert.equal(to.requests.length, 3);
});

test('a collector of usage does not get the credentials of the collector of traces', async () => {
  const to = await collector();
  process.env['OTEL_EXPORTER_OTLP_HEADERS'] = 'authorization=Bearer%20traces,x-traces=1';
  process.env['OTEL_EXPORTER_OTLP_LOGS_HEADERS'] = 'x-logs=1';
  stops.push(() => {
    delete process.env['OTEL_EXPORTER_OTLP_HEADERS'];
    delete process.env['OTEL_EXPORTER_OTLP_LOGS_HEADERS'];
  });
  const exports = [{ type: 'otlp', url: to.url }] as const;
  const opened = openQuotaStore({ path: join(folder, 'journal.db'), foldEveryMs: 20, exports });
  opened.store.recordUsage(record('r1'), undefined);
  opened.store.flush();
  await until('the record', () => to.logs.length > 0);
  opened.store.close();
  await opened.usage?.close(10_000);
  const [{ headers } = assert.fail()] = to.requests;
  assert.deepEqual([headers.authorization, headers['x-traces'], headers['x-logs']], [undefined, undefined, undefined]);
});

test('a collector gets each record as a CloudEvent, also those of the time when it was away', async () => {
  const to = await collector();
  const newSender = (source: string) => cloudEventsSender(to.url, {}, source);
  const first = exporting(newSender);
  first.write(1, 3);
  await until('the first records', () => to.events.length === 3);
  await to.stop();
  first.write(4, 300);
  await until('a failure', () => first.states.at(-1)?.failure !== undefined);
  await first.stop();
  await to.start();
  const second = exporting(newSender);
  second.write(304, 2);
  await until('all records', () => to.events.length >= 305);
  await until('a report', () => second.states.at(-1)?.failure === undefined);
  await second.stop();
  assert.deepEqual([...new Set(to.events.map(({ data }) => data?.requestId))], names(305));
  const { specversion, id, source, type, time, subject, data } = to.events[0]!;
  assert.deepEqual(
    [specversion, id, source, type, subject, data?.cost],
    ['1.0', 'here-1', '/tallygate/here', 'dev.tallygate.usage.v1', 'r1', '1.5'],
  );
  assert.ok(Math.abs(Date.parse(time!) - Date.now()) < 60_000);
});

test('a batch that is refused for the moment is sent again', async () => {
  const to = await collector();
  const statuses = [503, 429, 401, 500];
  to.answers = () => statuses.shift() ?? 200;
  const { write, stop, states } = exporting((source) => otlpSender(to.url, {}, source));
  write(1, 2);
  await until('both records', () => to.logs.length >= 2);
  await until('a report', () => states.at(-1)?.failure === undefined);
  await stop();
  assert.deepEqual([to.logs.length, states.at(-1)?.dropped], [2, 0]);
});

test('a record that the collector rejects is counted, and stops no other', async () => {
  const to = await collector();
  to.answers = (body) => (body.includes('"r77"') ? 400 : 200);
  const { write, stop, states } = exporting((source) => cloudEventsSender(to.url, {}, source));
  write(1, 200);
  await until('the others', () => to.events.length >= 199);
  await until('a report', () => states.at(-1)?.failure === undefined);
  await stop();
  assert.deepEqual(
    to.events.map(({ data }) => data?.requestId),
    names(200).filter((name) => name !== 'r77'),
  );
  assert.equal(states.at(-1)?.dropped, 1);
});

test('records that are removed before a collector returns are counted as dropped', async () => {
  const to = await collector();
  await to.stop();
  const dayMs = 86_400_000;
  const { write, stop, tables } = exporting((source) => cloudEventsSender(to.url, {}, source), {
    usageDays: 2,
    usageRequestDays: 1,
  });
  const id = (days: number) => days * dayMs * 1_000;
  write(id(1), 5);
  write(id(3), 5);
  await to.start();
  await until('the kept records', () => to.events.length >= 5);
  await until('the cursor', () => tables.exportOf('t').id === id(3) + 4);
  assert.equal(tables.exportOf('t').dropped, 5);
  assert.deepEqual(new Set(to.events.map(({ data }) => data?.requestId)), new Set(names(5, id(3))));
  await stop();
});

test('a gateway exports from its worker, and a restart continues where it ended', async () => {
  const to = await collector();
  const total = quota('TotalTokens', 1_000_000);
  const sent = async (first: number, away: boolean) => {
    const opened = openQuotaStore({
      path: join(folder, 'journal.db'),
      foldEveryMs: 20,
      exports: [{ type: 'cloudevents', url: to.url }],
    });
    if (away) {
      await to.stop();
    }
    for (const name of names(10, first)) {
      const { hold } = granted(reserve(opened.store, demand([bucket(total)], Date.now(), 7)));
      opened.store.flush();
      settle(opened.store, hold, charge(7, 0), Date.now());
      opened.store.recordUsage(record(name), hold);
      opened.store.flush();
    }
    if (!away) {
      await until('events', () => new Set(to.events.map(({ data }) => data?.requestId)).size >= first + 9);
    }
    opened.store.close();
    await opened.usage?.close(10_000);
  };
  await sent(1, false);
  await sent(11, true);
  await to.start();
  await sent(21, false);
  assert.deepEqual([...new Set(to.events.map(({ data }) => data?.requestId))], names(30));
});

/** A collector that accepts connections and requests, and never answers. */
async function hanging(): Promise<{ readonly url: string; readonly requests: readonly IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request) => requests.push(request)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/logs`, requests };
}

for (const [name, newSender] of [
  ['OTLP', otlpSender],
  ['CloudEvents', cloudEventsSender],
] as const) {
  test(`a collector of ${name} that hangs gets one bounded batch at a time, and the rest is dropped with its age`, async () => {
    const { url, requests } = await hanging();
    let sending = 0;
    const sizes: number[] = [];
    const { write, stop, states, tables } = exporting(
      (source) => {
        const sender = newSender(url, {}, source, 30);
        return {
          send: async (records, signal) => {
            sizes.push(records.length);
            assert.equal(++sending, 1);
            const result = await sender.send(records, signal);
            sending--;
            return result;
          },
        };
      },
      { usageDays: 2, usageRequestDays: 1 },
    );
    const id = (days: number) => days * 86_400_000 * 1_000;
    write(id(1), 1_000);
    await until('two attempts', () => requests.length >= 2);
    write(id(3), 1);
    assert.equal(tables.exportOf('t').dropped, 1_000);
    await until('a report', () => states.at(-1)?.dropped === 1_000);
    assert.notEqual(states.at(-1)?.failure, undefined);
    assert.ok(sizes.every((size) => size <= 200));
    await stop();
  });
}

test('a collector that hangs holds up neither reports nor the end of the gateway', async () => {
  const { url, requests } = await hanging();
  const exports = [
    { type: 'cloudevents', url },
    { type: 'otlp', url },
  ] as const;
  const opened = openQuotaStore({ path: join(folder, 'journal.db'), foldEveryMs: 20, exports });
  opened.store.recordUsage(record('r1'), undefined);
  opened.store.flush();
  await until('both targets', () => requests.length === 2);
  opened.store.recordUsage(record('r2'), undefined);
  opened.store.flush();
  const query = { by: [], sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER };
  let requestsSeen = 0;
  while (requestsSeen < 2) {
    requestsSeen = (await opened.usage!.report(query))[0]?.requests ?? 0;
  }
  const endMs = performance.now();
  opened.store.close();
  await opened.usage!.close(1_000);
  assert.ok(performance.now() - endMs < 3_000, `${performance.now() - endMs} ms`);
});

test('targets and headers of another form are refused', () => {
  assert.deepEqual(parseExportTargets('otlp+http://c:4318/v1/logs, cloudevents+https://e.example/usage?a=b'), [
    { type: 'otlp', url: 'http://c:4318/v1/logs' },
    { type: 'cloudevents', url: 'https://e.example/usage?a=b' },
  ]);
  for (const wrong of [
    'http://c',
    'otlp+ftp://c',
    'otlp+http://user:secret@c',
    'kafka+http://c',
    'otlp+http://',
    ',',
  ]) {
    assert.equal(parseExportTargets(wrong), undefined, wrong);
  }
  assert.deepEqual(parseExportHeaders('Authorization=Bearer%20x,x-tenant=a=b'), {
    authorization: 'Bearer x',
    'x-tenant': 'a=b',
  });
  for (const wrong of ['x', '=y', 'a b=c', 'a=%0d%0ab:c', 'a=%zz']) {
    assert.equal(parseExportHeaders(wrong), undefined, wrong);
  }
});
