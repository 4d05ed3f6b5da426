/**
 * Measures how long hostile bodies block the processor's event loop: a separate gateway with a
 * probe, one body after the other.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { freePorts } from '../../fixtures/free-ports.ts';
import { type HostileAnswer, hostileAnswers, hostileRequests } from '../hostile.ts';
import { entriesOf, type Worst, worst } from '../loop/holds.ts';
import type { Options } from '../options.ts';
import { hostileResources } from '../resources.ts';
import type { Figure } from '../results.ts';
import type { Testbed } from '../testbed.ts';

const ROUNDS = 5;
const PROBE = path.join(import.meta.dirname, '../loop/probe.ts');
/** The probe writes ten times per second. */
const TOLD_AFTER_MS = 250;
/** The goal: the processor's own work never blocks the loop for 10 ms, whatever the body. */
const GOAL_MS = 10;

export async function hostile(testbed: Testbed, { only }: Options): Promise<readonly Figure[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-loop-'));
  const [providerPort = 0] = await freePorts(1);
  const provider = await startHostileProvider(providerPort);
  try {
    return await testbed.withGateway(
      (port) => hostileResources(port, providerPort),
      async (gateway) => {
        const file = path.join(folder, `${gateway.extprocPid}.jsonl`);
        const measured = (name: string, ask: () => Promise<void>) => measure(name, ask, file);
        const ask = (model: string, body: string) => post(gateway.port, `{"model":"${model}",${body}}`);
        // Warms up, so that V8's compilation is not measured.
        for (let count = 0; count < 2_000; count += 1) {
          await ask('plain', '"messages":[{"role":"user","content":"Hi"}]');
        }
        const asked = ({ name }: { readonly name: string }) => name.includes(only);
        const rows: Row[] = [];
        for (const { name, model, body } of hostileRequests().filter(asked)) {
          rows.push(await measured(`request: ${name}`, () => ask(model, body)));
        }
        for (const answer of hostileAnswers().filter(asked)) {
          provider.answer = answer;
          const body = `"messages":[{"role":"user","content":"Hi"}],"stream":${answer.stream}`;
          rows.push(await measured(`answer: ${answer.name}`, () => ask(answer.model, body)));
        }
        return figures(rows);
      },
      [`--import=${pathToFileURL(PROBE)}?folder=${folder}`],
    );
  } finally {
    await provider.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Row extends Worst {
  readonly name: string;
}

/** Returns the worst of all rounds. */
async function measure(name: string, ask: () => Promise<void>, file: string): Promise<Row> {
  const told = () => readFileSync(file, 'utf8');
  await sleep(TOLD_AFTER_MS);
  const before = told().length;
  for (let round = 0; round < ROUNDS; round += 1) {
    await ask();
    await sleep(TOLD_AFTER_MS);
  }
  return { name, ...worst(entriesOf(told().slice(before))) };
}

function figures(rows: readonly Row[]): readonly Figure[] {
  const part = 'event loop under hostile bodies';
  const most = (read: (row: Row) => number) => Math.max(...rows.map(read));
  return [
    ...rows.map(({ name, workMs, gcMs }) => ({
      part,
      name: `${name} (longest GC pause ${gcMs.toFixed(1)} ms)`,
      value: workMs,
      unit: 'ms',
    })),
    {
      part,
      name: 'longest block by our own work',
      value: most(({ workMs }) => workMs),
      unit: 'ms',
      goal: { atMost: GOAL_MS },
    },
    { part, name: 'longest block, with GC and other programs', value: most(({ heldMs }) => heldMs), unit: 'ms' },
    { part, name: 'longest GC pause', value: most(({ gcMs }) => gcMs), unit: 'ms' },
  ];
}

/** Sends the body and reads the whole response. A refusal is a valid response; a 5xx is not. */
async function post(port: number, body: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-team': crypto.randomUUID() },
    body,
    signal: AbortSignal.timeout(60_000),
  });
  await response.arrayBuffer();
  if (response.status >= 500) {
    throw new Error(`${response.status} for ${body.slice(0, 100)}`);
  }
}

interface HostileProvider {
  answer: Omit<HostileAnswer, 'name' | 'model'>;
  stop(): Promise<void>;
}

async function startHostileProvider(port: number): Promise<HostileProvider> {
  const usage = '"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}';
  const provider: HostileProvider = {
    answer: { stream: false, bytes: Buffer.from(`{"choices":[{"index":0,"message":{"content":"a"}}],${usage}}`) },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => {
      const { stream, encoding, bytes } = provider.answer;
      const type = stream ? 'text/event-stream' : 'application/json';
      response.writeHead(200, { 'content-type': type, ...(encoding && { 'content-encoding': encoding }) }).end(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return provider;
}
