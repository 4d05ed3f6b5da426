import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import OpenAI from 'openai';
import type { ProviderApi } from '../../../contract/policy.ts';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { type ConversionCase, type ConvertedCase, convertedCase, convertedDocument } from '../testing.ts';

function caseOf(providerApi: ProviderApi, more: object, options: Partial<ConversionCase> = {}): ConversionCase {
  const body = JSON.stringify({ model: 'm', input: 'Hi', ...more });
  return { client: 'embeddings', providerApi, model: 'text-embedding-005', body, ...options };
}

function rerankOf(more: object, options: Partial<ConversionCase> = {}): ConversionCase {
  const body = JSON.stringify({ model: 'm', query: 'q', documents: ['a', 'b'], ...more });
  return { client: 'rerank', providerApi: 'Cohere', model: 'rerank-v3.5', body, ...options };
}

function converted(given: ConversionCase): ConvertedCase {
  const made = convertedCase(given);
  assert.ok(typeof made !== 'string', String(made));
  return made;
}

const providers: readonly (readonly [ProviderApi, string, answer: (vectors: readonly unknown[]) => object])[] = [
  ['GoogleGemini', 'gemini-embedding-001', (vectors) => ({ embeddings: vectors.map((values) => ({ values })) })],
  [
    'GCPVertexAI',
    'text-embedding-005',
    (vectors) => ({ predictions: vectors.map((values) => ({ embeddings: { values } })) }),
  ],
  ['Cohere', 'embed-v4.0', (vectors) => ({ embeddings: { float: vectors } })],
  ['AWSBedrock', 'cohere.embed-english-v3', (vectors) => ({ embeddings: vectors })],
  ['AWSBedrock', 'amazon.titan-embed-text-v2:0', ([embedding]) => ({ embedding, inputTextTokenCount: 1 })],
];

describe('converted embeddings', () => {
  for (const [providerApi, model, answer] of providers) {
    it(`are what the provider made, as the official client reads them: ${model}`, async () => {
      const vectors = [[0.5, -0.25, 0.125, 3]];
      const fetch = async (_url: unknown, init?: { readonly body?: unknown }) => {
        const given = { ...caseOf(providerApi, {}, { model }), body: String(init?.body) };
        const document = Buffer.from(JSON.stringify(answer(vectors)));
        const body = convertedDocument(converted(given).newAdapter(), document);
        return new Response(body, { headers: { 'content-type': 'application/json' } });
      };
      const client = new OpenAI({ apiKey: 'k', fetch, maxRetries: 0 });
      // The client asks for base64 by itself.
      const { data } = await client.embeddings.create({ model: 'm', input: 'Hi' });
      assert.deepEqual(
        data.map(({ embedding }) => [...embedding]),
        vectors,
      );
      const asked = await client.embeddings.create({ model: 'm', input: 'Hi', encoding_format: 'float' });
      assert.deepEqual(
        asked.data.map(({ embedding }) => embedding),
        vectors,
      );
    });

    it(`cannot be broken by what the provider sends: ${model}`, () => {
      fc.assert(
        fc.property(fc.jsonValue(), fc.array(fc.jsonValue()), (value, vectors) => {
          const { newAdapter } = converted(caseOf(providerApi, {}, { model }));
          convertedDocument(newAdapter(), Buffer.from(JSON.stringify(value)));
          convertedDocument(newAdapter(), Buffer.from(JSON.stringify(answer(vectors))));
        }),
        fuzzRuns(100),
      );
    });
  }
});

describe('what a backend cannot embed', () => {
  for (const [name, providerApi, model, more] of [
    ['token ids', 'GoogleGemini', 'gemini-embedding-001', { input: [1, 2, 3] }],
    ['lists of token ids', 'Cohere', 'embed-v4.0', { input: [[1], [2]] }],
    ['nothing', 'Cohere', 'embed-v4.0', { input: [] }],
    ['more texts than Cohere takes', 'Cohere', 'embed-v4.0', { input: Array.from({ length: 97 }, String) }],
    ['more texts than Gemini takes', 'GoogleGemini', 'g', { input: Array.from({ length: 101 }, String) }],
    ['two texts, for Titan', 'AWSBedrock', 'amazon.titan-embed-text-v2:0', { input: ['a', 'b'] }],
    ['two texts, for Gemini on Vertex AI', 'GCPVertexAI', 'gemini-embedding-001', { input: ['a', 'b'] }],
    ['two texts, for a later Gemini on Vertex AI', 'GCPVertexAI', 'gemini-embedding-2', { input: ['a', 'b'] }],
  ] as const) {
    it(`is refused even where fields may be dropped: ${name}`, () => {
      const refused = convertedCase(caseOf(providerApi, more, { model, drops: true }));
      assert.ok(typeof refused === 'string' && refused.startsWith('`input` '), String(refused));
    });
  }

  for (const [field, more, model] of [
    ['input_type', { input_type: 'image' }, 'text-embedding-005'],
    ['my_own_field', { my_own_field: 1 }, 'text-embedding-005'],
    ['dimensions', { dimensions: 256 }, 'amazon.titan-embed-text-v1'],
  ] as const) {
    it(`is refused by name, or dropped: ${field}`, () => {
      const given = caseOf(model.startsWith('amazon') ? 'AWSBedrock' : 'GCPVertexAI', more, { model });
      assert.match(String(convertedCase(given)), new RegExp(`^\`${field}\` cannot be converted`));
      assert.deepEqual(converted({ ...given, drops: true }).dropped, [field]);
    });
  }
});

describe("what Google's clients embed", () => {
  const content = { parts: [{ text: 'Hi' }] };
  const options = { model: 'embed-v4.0', drops: true };
  const batch = (requests: unknown, more: object = {}): ConversionCase => {
    const body = JSON.stringify({ requests, ...more });
    return { client: 'batch-embed', providerApi: 'Cohere', body, ...options };
  };

  for (const [name, given, message] of [
    ['parts of a text', { parts: [{ text: 'a' }, { text: 'b' }] }, /^`requests\[0\]\.content` must have one part/],
    ['media', { parts: [{ inlineData: {} }] }, /^`requests\[0\]\.content` must have one part/],
    ['text with media', { parts: [{ text: 'a', inlineData: {} }] }, /^`requests\[0\]\.content` must have one part/],
    ['no parts', {}, /^`requests\[0\]\.content` must have one part/],
    ['text without an object', 'a', /^`requests\[0\]\.content` must be an object/],
  ] as const) {
    it(`is one text: ${name} is refused, even where fields may be dropped`, () => {
      assert.match(String(convertedCase(batch([{ content: given }]))), message);
    });
  }

  it('has one size and one purpose', () => {
    const differ = [{ content, outputDimensionality: 2 }, { content }];
    assert.match(String(convertedCase(batch(differ))), /^`requests\.outputDimensionality` must be the same/);
    const tasks = [
      { content, taskType: 'CLUSTERING' },
      { content, taskType: 'CLASSIFICATION' },
    ];
    assert.match(String(convertedCase(batch(tasks))), /^`requests\.taskType` must be the same/);
    assert.match(String(convertedCase(batch([{ content, outputDimensionality: 0.5 }]))), /must be a whole number/);
    assert.match(String(convertedCase(batch([]))), /^`requests` must have at least one/);
  });

  it('loses by name only what the backend does not have', () => {
    const request = { content, title: 'T', taskType: 'FACT_VERIFICATION', my_own: 1 };
    const made = converted(batch([{ ...request, embedContentConfig: { autoTruncate: true } }], { my_field: 1 }));
    const fields = ['myField', 'requests[0].myOwn', 'requests[0].embedContentConfig.autoTruncate'];
    assert.deepEqual(made.dropped, [...fields, 'requests[0].title', 'requests.taskType']);
    assert.match(made.body, /"input_type":"search_document"/);
    const strict = convertedCase({ ...batch([request]), drops: false });
    assert.match(String(strict), /^`requests\[0\]\.myOwn` cannot be converted/);
  });

  it('cannot be broken by what the provider sends', () => {
    const adapter = converted(batch([{ content }])).newAdapter();
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        convertedDocument(adapter, Buffer.from(JSON.stringify(value)));
      }),
      fuzzRuns(100),
    );
  });
});

describe('a converted ranking', () => {
  it('has what the provider bills', () => {
    const adapter = converted(rerankOf({})).newAdapter();
    const meta = { billed_units: { search_units: 3 } };
    const answer = { results: [{ index: 1, relevance_score: 0.5 }], meta };
    const document = JSON.parse(convertedDocument(adapter, Buffer.from(JSON.stringify(answer))));
    assert.deepEqual([document.results, document.meta], [answer.results, meta]);
    assert.equal(adapter.unary.priceUnits, 3);
  });

  it('holds a price unit for a hundred documents, and more for long ones', () => {
    const unitsOf = (documents: readonly string[]) => converted(rerankOf({ documents })).facts.priceUnits;
    assert.equal(unitsOf(['a']), 1);
    assert.equal(unitsOf(Array.from({ length: 100 }, () => 'a')), 1);
    assert.equal(unitsOf(Array.from({ length: 101 }, () => 'a')), 2);
    assert.equal(unitsOf(Array.from({ length: 60 }, () => 'a'.repeat(4_000))), 2);
  });

  it('refuses documents without text', () => {
    assert.match(String(convertedCase(rerankOf({ documents: ['a', { image: 'x' }] }))), /^`documents\[1\]` must be/);
    assert.match(String(convertedCase(rerankOf({ query: ['q'] }))), /^`query` must be a string/);
  });

  it('cannot be broken by what the provider sends', () => {
    const result = fc.record({ index: fc.jsonValue(), relevance_score: fc.jsonValue() });
    fc.assert(
      fc.property(fc.array(fc.oneof(result, fc.jsonValue())), fc.jsonValue(), (results, meta) => {
        const adapter = converted(rerankOf({})).newAdapter();
        convertedDocument(adapter, Buffer.from(JSON.stringify({ results, meta })));
      }),
      fuzzRuns(200),
    );
  });
});
