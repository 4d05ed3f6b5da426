/** Whole exchanges behind guardrails, for tests. */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import type { ContentPolicy } from '../../../contract/content.ts';
import { type GuardrailRule, guardrailScopes } from '../../../contract/guardrails.ts';
import type { RequestRecord } from '../../record.ts';
import type { AnalyzeText } from '../inspections.ts';
import { basePolicy, ENTRY, newExchange, newRig } from '../testing.ts';

const messages = [{ role: 'user', content: 'Say it' }];
const gemini = '/v1beta/models/gemini-2.5-flash';

/** Where a client of an API sends requests: of streams and of documents. */
export const APIS = {
  chat: { schema: 'OpenAI', paths: ['/v1/chat/completions'], body: { model: 'gpt-4o-mini', messages } },
  completions: { schema: 'OpenAI', paths: ['/v1/completions'], body: { model: 'gpt-4o-mini', prompt: 'Say it' } },
  responses: { schema: 'OpenAI', paths: ['/v1/responses'], body: { model: 'gpt-4o-mini', input: 'Say it' } },
  messages: {
    schema: 'Anthropic',
    paths: ['/v1/messages'],
    body: { model: 'claude-haiku-4-5', max_tokens: 500, messages },
  },
  generate: { schema: 'HuggingFaceTGI', paths: ['/generate_stream', '/generate'], body: { inputs: 'Say it' } },
  generateContent: {
    schema: 'GoogleGemini',
    paths: [`${gemini}:streamGenerateContent?alt=sse`, `${gemini}:generateContent`],
    body: { contents: [{ role: 'user', parts: [{ text: 'Say it' }] }] },
  },
} as const;

export type Api = keyof typeof APIS;
type Schema = (typeof APIS)[Api]['schema'];

export const mask: GuardrailRule = {
  name: 'identifiers',
  phases: ['Response'],
  scope: guardrailScopes,
  detector: { type: 'Builtin', detectors: ['CreditCard', 'Email'] },
  action: { type: 'Mask', placeholder: '<{type}-{index}>', restore: true },
  onFailure: 'Closed',
  timeoutMs: 100,
  onUnmaskable: 'Pass',
};

export const block: GuardrailRule = { ...mask, action: { type: 'Block', message: 'Not here.' } };

export const service: GuardrailRule = {
  ...mask,
  name: 'service',
  detector: { type: 'Webhook', service: { url: 'http://127.0.0.1:1' } },
  action: { type: 'FromDetector', placeholder: '<{type}-{index}>', restore: false, message: 'Default.' },
};

interface Exchanged {
  readonly api: Api;
  /** The API of the backend; absent: that of the client. */
  readonly schema?: Schema;
  readonly rules: readonly GuardrailRule[];
  /** Keeps the content. */
  readonly content?: ContentPolicy | undefined;
  readonly analyze?: AnalyzeText;
  readonly stream: boolean;
  readonly answer: string;
  /** Bytes of each piece in which the answer arrives. */
  readonly size?: number;
  readonly gzip?: boolean;
  readonly prompt?: string;
  /** Another endpoint of the API; `Say it` in its body is the prompt. */
  readonly endpoint?: { readonly path: string; readonly body: object };
  readonly status?: number;
  /** The provider goes on after this answer. */
  readonly goesOn?: boolean;
  /** What the clock says when each piece arrives; the last one stays. */
  readonly atMs?: readonly number[];
}

interface Received {
  readonly text: string;
  readonly events: readonly string[];
  readonly headers: readonly string[];
  readonly removed: readonly string[];
  readonly record: RequestRecord;
  /** The end of the response was sent, which closes the connection to the provider. */
  readonly isOver: boolean;
  /** Of a reply of the gateway itself. */
  readonly status: number | undefined;
}

function policyOf(schema: Schema, rules: readonly GuardrailRule[], content: ContentPolicy | undefined) {
  const [host] = basePolicy.virtualHosts;
  const [rule] = host!.rules;
  return {
    backends: [{ name: 'b', schema, tokenizer: { encoding: 'Auto' as const }, models: [] }],
    quotas: [],
    guardrailPolicies: [{ name: 'default/guard', rules, exempt: [], holdBack: { bytes: 65_536, ms: 2000 } }],
    contentPolicies: content === undefined ? [] : [content],
    virtualHosts: [
      {
        ...host!,
        passthrough: [],
        rules: [
          {
            ...rule!,
            models: ['*'],
            quotas: [],
            targets: [{ id: 'b', backend: 'b', weight: 1, priority: 0 }],
            guardrails: ['default/guard'],
            content: content === undefined ? [] : [content.name],
          },
        ],
      },
    ],
  };
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    assert.ok(turn < 5_000, 'nothing happens');
    await new Promise(turn < 100 ? setImmediate : (next) => setTimeout(next, 1));
  }
}

export async function exchanged({ api, rules, analyze, stream, answer, size = 1e9, gzip, ...given }: Exchanged) {
  const { schema, paths, body } = APIS[api];
  let nowMs = 1;
  const rig = newRig({
    policy: policyOf(given.schema ?? schema, rules, given.content),
    shared: () => ({ now: () => nowMs, ...(analyze && { analyze }) }),
  });
  let forwarded = false;
  let isOver = false;
  let status: number | undefined;
  const pieces: Buffer[] = [];
  const headers: string[] = [];
  const removed: string[] = [];
  const handler = rig.open({
    ...newExchange(),
    requestHeaders: () => {
      forwarded = true;
    },
    responseHeaders: ({ set = [], remove = [] }) => {
      headers.push(...set.map(([name]) => name));
      removed.push(...remove);
    },
    responseBody: (piece, last) => {
      pieces.push(Buffer.from(piece));
      isOver ||= last;
    },
    immediateResponse: (reply) => {
      status = reply.status;
      pieces.push(Buffer.from(reply.body));
    },
  });
  const path = given.endpoint?.path ?? (stream ? paths[0] : paths.at(-1)!);
  handler.requestHeaders(
    [
      [':method', 'POST'],
      [':path', path],
    ],
    false,
    ENTRY,
  );
  const asked = given.endpoint?.body ?? { ...body, ...(paths.length === 1 && { stream }) };
  const text = JSON.stringify(asked).replace('Say it', given.prompt ?? 'Say it');
  handler.requestBody(Buffer.from(text), true);
  await until(() => forwarded);
  const bytes = gzip ? gzipSync(answer) : Buffer.from(answer);
  const type = stream ? 'text/event-stream' : 'application/json';
  const encoding = gzip ? [['content-encoding', 'gzip'] as const] : [];
  handler.responseHeaders(
    [[':status', String(given.status ?? 200)], ['content-type', type], ...encoding],
    false,
    new Map(),
  );
  for (let at = 0; at < bytes.length; at += size) {
    nowMs = given.atMs?.[at / size] ?? nowMs;
    const piece = Buffer.from(bytes.subarray(at, at + size));
    handler.responseBody(piece, at + size >= bytes.length && !given.goesOn);
    piece.fill(0xdb);
  }
  await until(() => rig.records.length > 0);
  assert.deepEqual(rig.faults, []);
  rig.store.close();
  const received = Buffer.concat(pieces).toString();
  const events = received.split(/(?<=\n\n)/);
  return { text: received, events, headers, removed, record: rig.records[0]!, isOver, status } satisfies Received;
}
