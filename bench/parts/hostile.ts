/** For how long hostile bodies hold the processor's event loop: a gateway of its own with a probe in it, and one body after the other. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Stand } from '../bench.ts';
import { type HostileAnswer, hostileAnswers, hostileRequests } from '../hostile.ts';
import { entriesOf, type Worst, worst } from '../loop/holds.ts';
import type { Options } from '../options.ts';
import { freePorts } from '../processes.ts';
import { hostileResources } from '../resources.ts';
import type { Figure } from '../results.ts';

const ROUNDS = 5;
const PROBE = path.join(import.meta.dirname, '../loop/probe.ts');
/** The probe writes ten times a second. */
const TOLD_AFTER_MS = 250;
/** "Never held 10 ms by work of ours, whatever the body." */
const GOAL_MS = 10;

export async function hostile(stand: Stand, { only }: Options): Promise<readonly Figure[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-loop-'));
  const [providerPort = 0] = await freePorts(1);
  const provider = await startHostileProvider(providerPort);
  try {
    return await stand.withGateway(
      (port) => hostileResources(port, providerPort),
      async (gateway) => {
        const file = path.join(folder, `${gateway.extprocPid}.jsonl`);
        const measured = (name: string, ask: () => Promise<void>) => measure(name, ask, file);
        const ask = (model: string, body: string) => post(gateway.port, `{"model":"${model}",${body}}`);
        // What V8 has not compiled yet is not measured.
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

/** The worst of all rounds. */
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
      name: 'held at most by work of ours',
      value: most(({ workMs }) => workMs),
      unit: 'ms',
      goal: { atMost: GOAL_MS },
    },
    { part, name: 'held at most, with GC and all else that ran', value: most(({ heldMs }) => heldMs), unit: 'ms' },
    { part, name: 'longest GC pause', value: most(({ gcMs }) => gcMs), unit: 'ms' },
  ];
}

/** Sends it and reads all that comes; a refusal is as good as an answer, a fault is not. */
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
