/** Converts streams of Gemini, and reads what comes out with the official clients. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import type { ResponseAdapter } from '../../providers/adapter.ts';
import { convertedDocument, convertedStream } from '../testing.ts';
import {
  assertEndsProperly,
  assertSameAtEachCut,
  endedByBudget,
  type StreamClient,
  streamAdapter,
  streamClientNames,
  streamClients,
} from '../testing-streams.ts';

function newAdapter(client: StreamClient): ResponseAdapter {
  return streamAdapter(client, 'GoogleGemini', 'gemini-3-flash');
}

const usage = (output: number, thoughts: number) => ({
  promptTokenCount: 30,
  cachedContentTokenCount: 10,
  candidatesTokenCount: output,
  thoughtsTokenCount: thoughts,
  totalTokenCount: 30 + output + thoughts,
});

function response(parts: readonly object[], more: object = {}, finishReason?: string): object {
  const candidate = { content: { role: 'model', parts }, index: 0, ...(finishReason && { finishReason }) };
  return { candidates: [candidate], responseId: 'r1', modelVersion: 'gemini-3-flash', ...more };
}

const call = (name: string, args: object) => ({ functionCall: { id: `id-${name}`, name, args } });

/** The responses of a stream, and what a client makes of them. */
const streams = {
  text: {
    responses: [
      response([{ text: 'Thinking…', thought: true }], { usageMetadata: usage(0, 7) }),
      response([{ text: 'Grüße ' }], { usageMetadata: usage(2, 7) }),
      response([{ text: '🌍 "quoted"\n' }], { usageMetadata: usage(4, 7) }, 'STOP'),
    ],
    text: 'Grüße 🌍 "quoted"\n',
    calls: [],
    output: 11,
  },
  calls: {
    responses: [
      response([{ text: 'Let me look.' }]),
      response([
        { ...call('weather', { location: 'Bern', days: [1, { a: null }] }), thoughtSignature: 'c2ln' },
        call('time', {}),
      ]),
      response([{ text: '', thoughtSignature: 'ZW5k' }], { usageMetadata: usage(20, 5) }, 'STOP'),
    ],
    text: 'Let me look.',
    calls: [
      { name: 'weather', input: { location: 'Bern', days: [1, { a: null }] } },
      { name: 'time', input: {} },
    ],
    output: 25,
  },
  'a cut by the bound, and usage after it': {
    responses: [response([{ text: 'Once' }], {}, 'MAX_TOKENS'), { usageMetadata: usage(1, 0), responseId: 'r1' }],
    text: 'Once',
    calls: [],
    // Usage that comes after the end is metered only.
    output: undefined,
  },
};

type StreamName = keyof typeof streams;

function bytesOf(name: StreamName): Buffer {
  return Buffer.from(streams[name].responses.map((each) => `data: ${JSON.stringify(each)}\r\n\r\n`).join(''));
}

const cases = streamClientNames.flatMap((client) =>
  (Object.keys(streams) as StreamName[]).map((name) => ({ client, name })),
);

describe('a converted stream of Gemini', () => {
  for (const { client, name } of cases) {
    it(`is what the provider said, with its usage: ${name}, for ${client}`, async () => {
      const adapter = newAdapter(client);
      const body = convertedStream(adapter, [bytesOf(name)]);
      const answer = await streamClients[client].read(body, true);
      const { text, calls, output } = streams[name];
      assert.deepEqual([answer.text, answer.calls], [text, calls]);
      if (output !== undefined) {
        assert.deepEqual([answer.input, answer.output], [30, output]);
      }
      const { reader } = adapter;
      assert.deepEqual([reader.usage?.input, reader.usage?.cachedInput, reader.state], [30, 10, 'finished']);
      assert.equal(reader.usageFinal, true);
    });

    it(`does not depend on how its bytes arrive: ${name}, for ${client}`, () => {
      assertSameAtEachCut(() => newAdapter(client), bytesOf(name));
    });

    it(`ends properly wherever the provider or a budget ends it: ${name}, for ${client}`, () =>
      assertEndsProperly(client, () => newAdapter(client), bytesOf(name), streams[name].text));
  }

  it('is cut between calls without a part of the next one', async () => {
    const [first, second] = streams.calls.responses.map((each) => Buffer.from(`data: ${JSON.stringify(each)}\n\n`));
    for (const client of streamClientNames) {
      const body = endedByBudget(newAdapter(client), Buffer.concat([first!, second!]));
      assert.deepEqual((await streamClients[client].read(body, true)).calls, streams.calls.calls);
    }
  });

  it('ends with an error for a tool call that is not valid, after which its usage counts', () => {
    for (const client of streamClientNames) {
      const adapter = newAdapter(client);
      const given = response([], { usageMetadata: usage(9, 0) }, 'MALFORMED_FUNCTION_CALL');
      const body = convertedStream(adapter, [Buffer.from(`data: ${JSON.stringify(given)}\n\n`)]);
      assert.match(body, /MALFORMED_FUNCTION_CALL/);
      assert.deepEqual([adapter.reader.state, adapter.reader.usage?.output], ['failed', 9]);
    }
  });
});

describe('a hostile Gemini', () => {
  const anyPart = fc.oneof(
    fc.jsonValue(),
    fc.record({ text: fc.jsonValue(), thought: fc.jsonValue(), thoughtSignature: fc.jsonValue() }),
    fc.record({ functionCall: fc.record({ name: fc.jsonValue(), args: fc.jsonValue(), id: fc.jsonValue() }) }),
  );
  const anyResponse = fc.record(
    {
      candidates: fc.array(
        fc.record({ content: fc.record({ parts: fc.array(anyPart) }), finishReason: fc.jsonValue() }),
      ),
      usageMetadata: fc.dictionary(fc.constantFrom(...Object.keys(usage(0, 0)), 'promptTokensDetails'), fc.jsonValue()),
      promptFeedback: fc.jsonValue(),
      error: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );

  it('cannot break a stream or a document by what it sends', () => {
    fc.assert(
      fc.property(fc.constantFrom(...streamClientNames), fc.array(anyResponse), (client, responses) => {
        const given = responses.map((each) => `data: ${JSON.stringify(each)}\n\n`).join('');
        const body = convertedStream(newAdapter(client), [Buffer.from(given)]);
        assert.match(body, streamClients[client].ending);
        for (const line of body.split('\n').filter((each) => each.startsWith('data: {'))) {
          JSON.parse(line.slice('data: '.length));
        }
        convertedDocument(newAdapter(client), Buffer.from(JSON.stringify(responses[0] ?? null)));
      }),
      fuzzRuns(300),
    );
  });
});
