/**
 * Requests and responses generated from the shapes, valid and invalid: reading never throws, counts
 * are counts, an edited body equals the original JSON except for its edits, and a stream can be
 * truncated anywhere.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProviderApi } from '../../contract/policy.ts';
import { fuzz } from '../../tools/fuzz/cases.ts';
import type { Random } from '../../tools/fuzz/random.ts';
import { isFailure } from '../errors.ts';
import { newScanner } from '../json/json-tokenizer.ts';
import type { Shape } from '../json/shape.ts';
import { splice } from '../json/splice.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { Usage } from '../usage.ts';
import type { ClientApi, RequestFacts } from './adapter.ts';
import { endpoints } from './registry.ts';

const MODELS = ['gpt-4o', 'o3', 'claude-x', 'tgi'];
const VALUES = [
  null,
  true,
  false,
  0,
  1,
  -1,
  1.5,
  1e300,
  2 ** 40,
  2 ** 53,
  '',
  'x',
  'data:',
  'https://x',
  'function',
  'o3',
  'item_reference',
  [],
  {},
  [[]],
  [{}],
  'é',
  '\u0000',
  '\ud800',
  'image',
  'text/plain',
];
const EVENT_TYPES = [
  'response.created',
  'response.output_item.added',
  'response.output_text.delta',
  'response.content_part.added',
  'response.completed',
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
  'error',
  'ping',
  'response.function_call_arguments.delta',
  'response.reasoning_summary_part.added',
  'response.output_item.done',
  'response.incomplete',
  'response.something.new',
];
const NAMES = [
  'id',
  'type',
  'index',
  'choices',
  'delta',
  'content',
  'usage',
  'prompt_tokens',
  'completion_tokens',
  'input_tokens',
  'output_tokens',
  'item',
  'part',
  'response',
  'output_index',
  'content_index',
  'sequence_number',
  'finish_reason',
  'tool_calls',
  'function',
  'name',
  'arguments',
  'text',
  'thinking',
  'message',
  'token',
  'generated_text',
  'details',
  'generated_tokens',
  'error',
  'summary_index',
  'special',
  'status',
  'output',
  'model',
  'reasoning_content',
  'completion_tokens_details',
  'reasoning_tokens',
  'iterations',
  'content_block',
  'partial_json',
];
const nothing: TextSink = { text: () => {} };

/** Returns a value that matches this shape more often than not. */
function shaped(random: Random, shape: Shape, depth = 0): unknown {
  const chance = random.next();
  if (chance < 0.25 || depth > 7) {
    return random.pick(VALUES);
  }
  if (shape.object !== undefined && chance < 0.8) {
    const members = Object.entries(shape.object).filter(() => random.next() < 0.5);
    return Object.fromEntries(members.map(([name, inner]) => [name, shaped(random, inner, depth + 1)]));
  }
  const { items } = shape;
  if (items !== undefined && chance < 0.95) {
    return Array.from({ length: random.between(0, 3) }, () => shaped(random, items, depth + 1));
  }
  return random.pick(VALUES);
}

function free(random: Random, depth = 0): unknown {
  const chance = random.next();
  if (depth > 4 || chance < 0.42) {
    return random.pick([null, 0, 1, -1, 1e9, 1.5, 'x', '', 'a"b\\', true, 'stop', 1e300, 'length', 7]);
  }
  if (chance < 0.65) {
    return Array.from({ length: random.between(0, 2) }, () => free(random, depth + 1));
  }
  return Object.fromEntries(
    Array.from({ length: random.between(0, 5) }, () => [random.pick(NAMES), free(random, depth + 1)]),
  );
}

function damaged(random: Random, bytes: Buffer): Buffer {
  for (let changes = random.next() < 0.2 ? random.between(1, 3) : 0; changes > 0; changes -= 1) {
    bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
  }
  return bytes;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const reading = endpoints.filter(({ kind, form }) => kind !== 'models' && form === undefined);

function request(random: Random, endpoint: ClientApi): void {
  const body = shaped(random, endpoint.shape);
  const document = {
    model: random.next() < 0.8 ? random.pick(MODELS) : random.pick(VALUES),
    ...(isPlain(body) && body),
    ...(endpoint.path === '/v1/messages' && random.next() < 0.8 && { max_tokens: 5 }),
  };
  const bytes = damaged(random, Buffer.from(JSON.stringify(document)));
  const scanner = newScanner(endpoint.shape);
  let failed = false;
  for (let at = 0; at < bytes.length && !failed; ) {
    const to = at + random.between(1, bytes.length);
    failed = scanner.push(bytes.subarray(at, to)) !== undefined;
    at = to;
  }
  const scanned = failed ? undefined : scanner.finish();
  if (scanned !== undefined && !isFailure(scanned)) {
    const facts = endpoint.readRequest(scanned, { path: endpoint.path, query: new URLSearchParams('alt=sse') });
    if (!isFailure(facts)) {
      edited(random, endpoint, bytes, scanned, facts);
    }
  }
  scanner.release();
}

function edited(
  random: Random,
  endpoint: ClientApi,
  bytes: Buffer,
  scanned: Parameters<ClientApi['edit']>[0],
  facts: RequestFacts,
): void {
  for (const [name, value] of Object.entries(facts)) {
    if (typeof value === 'number') {
      assert.ok(isCount(value), `${name}: ${value}`);
    }
  }
  const edits = {
    ...(random.next() < 0.5 && { model: 'zz' }),
    ...(random.next() < 0.5 && facts.hasOutput && { outputTokens: 7 }),
    ...(random.next() < 0.5 && facts.stream && { askUsage: true }),
  };
  const before = JSON.parse(bytes.toString());
  const after = JSON.parse(
    Buffer.concat(
      splice(scanned.bytes, endpoint.edit(scanned, edits, { schema: endpoint.providerApis[0] as ProviderApi })),
    ).toString(),
  );
  if (edits.model !== undefined && 'model' in before) {
    assert.equal(after.model, 'zz');
  }
  for (const name of Object.keys(before)) {
    assert.ok(name in after, `${name} is gone`);
  }
}

function response(random: Random, endpoint: ClientApi): void {
  const facts: RequestFacts = {
    model: 'm',
    stream: true,
    choices: random.between(1, 3),
    leastOutputTokens: 1,
    hasOutput: true,
    hiddenOutput: false,
    usageAsked: random.next() < 0.5,
    textBytes: 0,
    overheadTokens: 0,
    mediaTokens: 0,
    givenTokens: 0,
    unbounded: [],
  };
  const { reader, writer, unary } = endpoint.response!(facts, { hideUsage: random.next() < 0.5, model: 'm' });
  let sends = true;
  for (let events = random.between(0, 8); events > 0; events -= 1) {
    const value = free(random);
    const document = isPlain(value) && random.next() < 0.7 ? { type: random.pick(EVENT_TYPES), ...value } : value;
    let text = `data: ${JSON.stringify(document)}\n\n`;
    if (random.next() < 0.1) {
      text = `${text.slice(0, random.between(0, text.length))}\n\n`;
    }
    if (random.next() < 0.1) {
      text = text.replace('{', '{\ndata: ');
    }
    const bytes = Buffer.from(text);
    const facts = reader.read(bytes, 0, bytes.length, nothing);
    if (sends) {
      writer.write(bytes, 0, bytes.length, facts);
      sends = random.next() < 0.9;
    }
    told(reader.usage);
  }
  if (random.next() < 0.5) {
    const usage = {
      input: 1,
      output: 2,
      cachedInput: 0,
      cacheWriteInput: 0,
      cacheWrite1hInput: 0,
      reasoningOutput: 0,
      audioInput: 0,
      audioOutput: 0,
      imageInput: 0,
      imageOutput: 0,
    };
    for (const line of Buffer.from(writer.truncate(usage)).toString().split('\n')) {
      if (line.startsWith('data:') && !line.includes('[DONE]')) {
        JSON.parse(line.slice(5));
      }
    }
  }
  const document = damaged(random, Buffer.from(JSON.stringify(free(random))));
  for (let at = 0; at < document.length; ) {
    const to = at + random.between(1, 40);
    unary.push(document.subarray(at, to), nothing);
    at = to;
  }
  told(unary.usage);
  unary.release();
}

function told(usage: Usage | undefined): void {
  if (usage === undefined) {
    return;
  }
  for (const [name, value] of Object.entries(usage)) {
    if (typeof value === 'number') {
      assert.ok(isCount(value), `${name}: ${value}`);
    }
  }
}

test('requests of any form are read, and edits change nothing else', () =>
  fuzz(10_000, (random) => request(random, random.pick(reading))));

const metered = endpoints.filter((endpoint) => endpoint.response !== undefined);
test('responses of any form are read, and streams end properly anywhere', () =>
  fuzz(10_000, (random) => response(random, random.pick(metered))));
