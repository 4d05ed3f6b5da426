import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { splice } from '../json/splice.ts';
import type { ClientApi, RequestEdits } from './adapter.ts';
import { countTokens, messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { responses } from './openai/responses.ts';
import type { BackendApi } from './openai/server-dialects.ts';
import { scanned } from './testing/recordings.ts';
import { generateEndpoints } from './tgi/generate.ts';

type Body = Record<string, unknown>;

const OPENAI: BackendApi = { schema: 'OpenAI' };

function edited(endpoint: ClientApi, text: string, edits: RequestEdits, backend: BackendApi = OPENAI): string {
  const body = scanned(endpoint, text);
  const parts = splice(body.bytes, endpoint.edit(body, edits, backend));
  return Buffer.concat(parts).toString();
}

const [generate] = generateEndpoints as [ClientApi];

/** A body with everything that an edit may change, among other members. */
const bodies = (known: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .tuple(
      fc.record({ model: fc.string({ minLength: 1, maxLength: 20 }), ...known }, { requiredKeys: ['model'] }),
      fc.dictionary(fc.stringMatching(/^x[a-z]{1,6}$/), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 }),
      fc.constantFrom(0, 1, 2),
      fc.boolean(),
    )
    .map(([fixed, other, indent, otherFirst]) => {
      const body: Body = otherFirst ? { ...other, ...fixed } : { ...fixed, ...other };
      return { body, text: JSON.stringify(body, null, indent) };
    });

const tokens = fc.integer({ min: 1, max: 100_000 });
const nullable = (value: fc.Arbitrary<unknown>) => fc.option(value, { nil: null });
const streamOptions = nullable(
  fc.oneof(fc.constant({}), fc.record({ include_usage: fc.boolean() }), fc.constant({ include_obfuscation: false })),
);
const edits = fc.record(
  { model: fc.string(), outputTokens: fc.integer({ min: 16, max: 1_000 }), askUsage: fc.boolean() },
  { requiredKeys: [] },
) as fc.Arbitrary<RequestEdits>;

const withUsage = (body: Body) => ({
  ...body,
  stream_options: { ...((body['stream_options'] as object | null | undefined) ?? {}), include_usage: true },
});

interface Case {
  readonly endpoint: ClientApi;
  readonly backend?: BackendApi;
  readonly known: Record<string, fc.Arbitrary<unknown>>;
  /** The body with exactly these changes. */
  readonly expected: (body: Body, edits: RequestEdits) => Body;
}

const model = (body: Body, edit: RequestEdits): Body =>
  edit.model === undefined ? body : { ...body, model: edit.model };
const bound =
  (name: string) =>
  (body: Body, { outputTokens }: RequestEdits): Body =>
    outputTokens === undefined ? body : { ...body, [name]: outputTokens };
const usage = (body: Body, { askUsage }: RequestEdits): Body => (askUsage === true ? withUsage(body) : body);
const all =
  (...changes: ((body: Body, edits: RequestEdits) => Body)[]) =>
  (body: Body, edit: RequestEdits) =>
    changes.reduce((result, change) => change(result, edit), body);

function chatBound(body: Body, { outputTokens }: RequestEdits): Body {
  if (outputTokens === undefined) {
    return body;
  }
  const sent = ['max_tokens', 'max_completion_tokens'].filter((name) => typeof body[name] === 'number');
  const names = sent.length === 0 ? ['max_completion_tokens'] : sent;
  return { ...body, ...Object.fromEntries(names.map((name) => [name, outputTokens])) };
}

/** A server that knows only `max_tokens` never sees a bound under the other name. */
function olderBound(body: Body, { outputTokens }: RequestEdits): Body {
  const { max_completion_tokens: newer, ...rest } = body;
  if (typeof newer !== 'number') {
    return outputTokens === undefined ? body : { ...body, max_tokens: outputTokens };
  }
  const older = typeof body['max_tokens'] === 'number' ? body['max_tokens'] : newer;
  return { ...rest, max_tokens: outputTokens ?? Math.min(older, newer) };
}

function withoutIncludeUsage(body: Body): Body {
  const options = body['stream_options'] as { readonly include_usage?: unknown } | null | undefined;
  const asked = options?.include_usage !== undefined && options.include_usage !== null;
  return asked ? { ...body, stream_options: {} } : body;
}

const chatMembers = {
  max_tokens: nullable(tokens),
  max_completion_tokens: nullable(tokens),
  stream_options: streamOptions,
};

const cases: readonly Case[] = [
  { endpoint: chat, known: chatMembers, expected: all(model, chatBound, usage) },
  {
    endpoint: chat,
    backend: { schema: 'HuggingFaceTGI' },
    known: chatMembers,
    expected: all(model, olderBound, usage),
  },
  {
    endpoint: chat,
    backend: { schema: 'OpenAI', dialect: 'DeepSeek' },
    known: chatMembers,
    expected: all(model, olderBound, usage),
  },
  {
    endpoint: chat,
    backend: { schema: 'OpenAI', dialect: 'Mistral' },
    known: chatMembers,
    expected: all(model, olderBound, withoutIncludeUsage),
  },
  {
    endpoint: completions,
    known: { max_tokens: nullable(tokens), stream_options: streamOptions },
    expected: all(model, bound('max_tokens'), usage),
  },
  {
    endpoint: responses,
    known: { max_output_tokens: nullable(tokens) },
    expected: all(model, bound('max_output_tokens')),
  },
  { endpoint: messages, known: { max_tokens: tokens }, expected: all(model, bound('max_tokens')) },
  { endpoint: countTokens, known: {}, expected: model },
  { endpoint: embeddings, known: { input: fc.string() }, expected: model },
  {
    endpoint: generate,
    known: {
      inputs: fc.string(),
      parameters: nullable(
        fc.record(
          { max_new_tokens: nullable(tokens), details: fc.boolean(), seed: fc.integer() },
          { requiredKeys: [] },
        ),
      ),
    },
    expected: all(model, (body, { outputTokens, askUsage }) => {
      const changes = {
        ...(outputTokens === undefined ? {} : { max_new_tokens: outputTokens }),
        ...(askUsage === true ? { details: true } : {}),
      };
      if (Object.keys(changes).length === 0) {
        return body;
      }
      return { ...body, parameters: { ...((body['parameters'] as object | null | undefined) ?? {}), ...changes } };
    }),
  },
];

describe('edits', () => {
  for (const { endpoint, backend, known, expected } of cases) {
    it(`${endpoint.path}${backend === undefined ? '' : ` for ${backend.dialect ?? backend.schema}`}: change what they name and nothing else`, () => {
      fc.assert(
        fc.property(bodies(known), edits, ({ body, text }, edit) => {
          const result = edited(endpoint, text, edit, backend);
          assert.deepEqual(JSON.parse(result), JSON.parse(JSON.stringify(expected(body, edit))));
        }),
        fuzzRuns(300),
      );
    });
  }

  it('leave every other byte unchanged', () => {
    const text = '{ "messages" : [ ] ,\n"model"\t: "a\\u0062", "n":1.0e0 , "max_tokens": 99 }';
    assert.equal(
      edited(chat, text, { model: 'x"y', outputTokens: 7 }),
      '{ "messages" : [ ] ,\n"model"\t: "x\\"y", "n":1.0e0 , "max_tokens": 7 }',
    );
    assert.equal(
      edited(chat, '{"model":"m"}', { outputTokens: 7, askUsage: true }),
      '{"max_completion_tokens":7,"stream_options":{"include_usage":true},"model":"m"}',
    );
    assert.equal(
      edited(chat, '{"model":"m","stream_options":{ }}', { askUsage: true }),
      '{"model":"m","stream_options":{"include_usage":true }}',
    );
  });

  it('do nothing without a change', () => {
    for (const { endpoint } of cases) {
      const body = scanned(endpoint, '{"model":"m","inputs":"a"}');
      assert.deepEqual(endpoint.edit(body, {}, OPENAI), []);
    }
  });
});
