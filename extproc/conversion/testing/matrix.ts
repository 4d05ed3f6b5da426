/** Runs the probes through each conversion, and says what becomes of each feature. */
import assert from 'node:assert/strict';
import type { ProviderApi } from '../../../contract/policy.ts';
import type { JsonRecord } from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import { serves } from '../registry.ts';
import { clientApis, convertedCase, convertedDocument, convertedStream } from '../testing.ts';
import { readByAnthropic, readByGoogle, readByOpenAi, readByResponses } from '../testing-clients.ts';
import { CALLS, clientAnswers, type Ending, providerAnswers, SIGNATURE, TEXT, TOKENS } from './answer-probes.ts';
import { parameterProbes } from './parameter-probes.ts';
import { type ProbeClient, type ProviderFamily, type RequestProbe, requestProbes } from './request-probes.ts';

/**
 * `refused`: the request gets 400 that names the field. `dropped`: the response names the field.
 * `lost`: neither, which is a bug. `none`: one of the two APIs does not have the feature.
 */
export type Cell =
  | { readonly type: 'works' | 'automatic' | 'none' | 'lost' }
  | { readonly type: 'refused' | 'dropped'; readonly field: string };

export interface MatrixRow {
  readonly feature: string;
  readonly cells: readonly Cell[];
}

interface ProbedBackend {
  /** The head of its column. */
  readonly title: string;
  readonly providerApi: ProviderApi;
  readonly family: ProviderFamily;
  /** A model that can do the most. */
  readonly model: string;
}

const backends: readonly ProbedBackend[] = [
  { title: 'OpenAI', providerApi: 'OpenAI', family: 'openai', model: 'gpt-5.1' },
  { title: 'AzureOpenAI', providerApi: 'AzureOpenAI', family: 'openai', model: 'gpt-5.1' },
  { title: 'HuggingFaceTGI', providerApi: 'HuggingFaceTGI', family: 'openai', model: 'qwen3' },
  { title: 'Anthropic', providerApi: 'Anthropic', family: 'anthropic', model: 'claude-sonnet-4-5' },
  {
    title: 'AWSBedrock',
    providerApi: 'AWSBedrock',
    family: 'bedrock',
    model: 'anthropic.claude-sonnet-4-5-20250929-v1:0',
  },
  { title: 'GoogleGemini', providerApi: 'GoogleGemini', family: 'gemini', model: 'gemini-3.1-pro' },
  { title: 'GCPVertexAI', providerApi: 'GCPVertexAI', family: 'gemini', model: 'gemini-3.1-pro' },
  {
    title: 'Claude on GCPVertexAI',
    providerApi: 'GCPVertexAI',
    family: 'anthropic',
    model: 'claude-sonnet-4-5@20250929',
  },
  { title: 'Cohere', providerApi: 'Cohere', family: 'cohere', model: 'command-a-reasoning-08-2025' },
];

const bases: Readonly<Record<ProbeClient, JsonRecord>> = {
  chat: { model: 'm', messages: [{ role: 'user', content: 'Hi' }] },
  messages: { model: 'm', max_tokens: 20_000, messages: [{ role: 'user', content: 'Hi' }] },
  responses: { model: 'm', input: 'Hi' },
  content: { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
};

const readers = {
  chat: readByOpenAi,
  messages: readByAnthropic,
  responses: readByResponses,
  content: readByGoogle,
};

const WORKS: Cell = { type: 'works' };
const NONE: Cell = { type: 'none' };
const LOST: Cell = { type: 'lost' };

/** Returns the backends that serve the client API only by conversion. */
export function convertedBackends(client: ProbeClient): readonly ProbedBackend[] {
  return backends.filter((backend) => !isNative(client, backend));
}

/** Returns the backends whose bytes pass. */
export function nativeBackends(client: ProbeClient): readonly ProbedBackend[] {
  return backends.filter((backend) => isNative(client, backend));
}

function isNative(client: ProbeClient, { providerApi, model }: ProbedBackend): boolean {
  return serves(clientApis[client]!, { schema: providerApi }, model);
}

export async function matrixOf(client: ProbeClient): Promise<readonly MatrixRow[]> {
  const targets = convertedBackends(client);
  const requests = [...requestProbes, ...parameterProbes].map((probe) => ({
    feature: probe.feature,
    cells: targets.map((backend) => requestCell(client, backend, probe)),
  }));
  const answers = answerProbes.map(async ({ feature, cell }) => ({
    feature,
    cells: await Promise.all(targets.map((backend) => cell(client, backend))),
  }));
  return [...requests, ...(await Promise.all(answers))];
}

function requestCell(client: ProbeClient, backend: ProbedBackend, { asks, arrives }: RequestProbe): Cell {
  const asked = asks[client];
  if (asked === undefined) {
    return NONE;
  }
  const made = convert(client, backend, asked);
  if (typeof made === 'string') {
    const field = /^`([^`]+)`/.exec(made)?.[1];
    return field === undefined ? LOST : { type: 'refused', field };
  }
  const expected = arrives[backend.family];
  if (expected === 'automatic') {
    return { type: 'automatic' };
  }
  const body = parsedRecord(made.body);
  const patterns = expected === undefined ? [] : [expected].flat();
  if (made.dropped.length === 0 && patterns.some((pattern) => includes(body, pattern))) {
    return WORKS;
  }
  const [field] = made.dropped;
  return field === undefined ? LOST : { type: 'dropped', field };
}

function convert(client: ProbeClient, { providerApi, model }: ProbedBackend, more: JsonRecord, stream = false) {
  // Google's clients ask for a stream by the path.
  const api = client === 'content' && stream ? 'content-stream' : client;
  const body = JSON.stringify({ ...bases[client], ...more, ...(stream && client !== 'content' && { stream }) });
  return convertedCase({ client: api, providerApi, model, body });
}

/** Whether a value has all of a pattern: members of objects, elements of lists in their order. */
export function includes(value: unknown, pattern: unknown): boolean {
  if (Array.isArray(pattern)) {
    let from = 0;
    return (
      Array.isArray(value) &&
      pattern.every((each) => {
        const place = value.findIndex((element, index) => index >= from && includes(element, each));
        from = place + 1;
        return place >= 0;
      })
    );
  }
  if (typeof pattern === 'object' && pattern !== null) {
    const object = value as JsonRecord | null | undefined;
    return (
      typeof object === 'object' &&
      object !== null &&
      Object.entries(pattern).every(([name, each]) => includes(object[name], each))
    );
  }
  return value === pattern;
}

interface AnswerProbe {
  readonly feature: string;
  cell(client: ProbeClient, backend: ProbedBackend): Cell | Promise<Cell>;
}

const answerProbes: readonly AnswerProbe[] = [
  { feature: 'Text and parallel tool calls', cell: (client, backend) => readCell(client, backend, false) },
  { feature: 'Streams, with streamed arguments and usage', cell: (client, backend) => readCell(client, backend, true) },
  { feature: 'Finish reason: tool calls', cell: (client, backend) => answerCell(client, backend, 'called') },
  ending('Finish reason: output bound', 'length'),
  ending('Finish reason: which stop sequence', 'stop-sequence'),
  ending('Refusals and filters', 'refusal'),
  { feature: 'Reasoning in responses', cell: (client, backend) => answerCell(client, backend, 'reasoning') },
  { feature: 'Signatures of reasoning, there and back', cell: signatureCell },
  { feature: 'Signatures of another provider', cell: foreignSignatureCell },
  { feature: 'Usage: cached tokens', cell: (client, backend) => answerCell(client, backend, 'cached') },
  { feature: 'Usage: reasoning tokens', cell: (client, backend) => answerCell(client, backend, 'reasoningTokens') },
  { feature: 'Errors', cell: errorCell },
];

function ending(feature: string, name: Ending): AnswerProbe {
  return {
    feature,
    cell(client, backend) {
      const given = providerAnswers[backend.family].endings[name];
      const expected = clientAnswers[client].endings[name];
      return given === undefined || expected === undefined ? NONE : told(documentOf(client, backend, given), expected);
    },
  };
}

function answerCell(
  client: ProbeClient,
  backend: ProbedBackend,
  name: 'called' | 'reasoning' | 'cached' | 'reasoningTokens',
): Cell {
  const { document, tells } = providerAnswers[backend.family];
  if ((name === 'cached' && !tells.has('cached')) || (name === 'reasoningTokens' && !tells.has('reasoning-tokens'))) {
    return NONE;
  }
  return told(documentOf(client, backend, document), clientAnswers[client][name]);
}

function told(document: JsonRecord | undefined, expected: JsonRecord): Cell {
  return includes(document, expected) ? WORKS : LOST;
}

/** What the official client reads. */
async function readCell(client: ProbeClient, backend: ProbedBackend, stream: boolean): Promise<Cell> {
  const { document, stream: bytes, tells } = providerAnswers[backend.family];
  const adapter = newAdapter(client, backend, stream);
  const body = stream
    ? convertedStream(adapter, [bytes])
    : convertedDocument(adapter, Buffer.from(JSON.stringify(document)));
  if (stream && tells.has('signatures') && !isSigned(body)) {
    return LOST;
  }
  const { text, calls, input, output } = await readers[client](body, stream);
  const read = { text, calls, input, output };
  return includes(read, { text: TEXT, calls: CALLS, input: TOKENS.input, output: TOKENS.output }) ? WORKS : LOST;
}

/** Google's clients get all signatures inside of their own. */
function isSigned(body: string): boolean {
  const own = [...body.matchAll(/"thoughtSignature":"([^"]+)"/g)];
  return body.includes(SIGNATURE) || own.some(([, value = '']) => Buffer.from(value, 'base64').includes(SIGNATURE));
}

/** The client sends the response back, with the results of its calls. */
function signatureCell(client: ProbeClient, backend: ProbedBackend): Cell {
  const { document, signed } = providerAnswers[backend.family];
  if (signed === undefined) {
    return NONE;
  }
  const answer = documentOf(client, backend, document);
  const next = convert(client, backend, clientAnswers[client].echo(answer!));
  return typeof next !== 'string' && includes(parsedRecord(next.body), signed) ? WORKS : LOST;
}

/** The client sends back what a provider has signed that another one cannot read. */
function foreignSignatureCell(client: ProbeClient, backend: ProbedBackend): Cell {
  const family = backend.family === 'gemini' ? 'anthropic' : 'gemini';
  const signer = convertedBackends(client).find((each) => each.family === family);
  const { document: whole, signedCalls: document = whole } = providerAnswers[family];
  const answer = signer === undefined ? document : documentOf(client, signer, document);
  const next = convert(client, backend, clientAnswers[client].echo(answer!));
  const [field] = typeof next === 'string' ? [] : next.dropped;
  return field === undefined ? LOST : { type: 'dropped', field };
}

function errorCell(client: ProbeClient, backend: ProbedBackend): Cell {
  const { error } = providerAnswers[backend.family];
  const { status, body } = newAdapter(client, backend).conversion!.error(429, Buffer.from(JSON.stringify(error)));
  return status === 429 ? told(parsedRecord(Buffer.from(body).toString()), clientAnswers[client].error) : LOST;
}

function documentOf(client: ProbeClient, backend: ProbedBackend, document: JsonRecord): JsonRecord | undefined {
  return parsedRecord(convertedDocument(newAdapter(client, backend), Buffer.from(JSON.stringify(document))));
}

/** What the clients need to see all of an answer. */
const wishes: Readonly<Record<ProbeClient, JsonRecord>> = {
  chat: {},
  messages: {},
  responses: {},
  content: { generationConfig: { thinkingConfig: { includeThoughts: true } } },
};

function newAdapter(client: ProbeClient, backend: ProbedBackend, stream = false) {
  const more = { ...wishes[client], ...(client === 'chat' && stream && { stream_options: { include_usage: true } }) };
  const made = convert(client, backend, more, stream);
  assert.ok(typeof made !== 'string', String(made));
  return made.newAdapter();
}
