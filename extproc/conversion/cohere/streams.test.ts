/** Converts streams of Cohere, and reads what comes out with the official clients. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import type { ResponseAdapter } from '../../providers/adapter.ts';
import { convertedDocument, convertedStream } from '../testing.ts';
import {
  assertEndsProperly,
  assertSameAtEachCut,
  type StreamClient,
  streamAdapter,
  streamClientNames,
  streamClients,
} from '../testing-streams.ts';

function newAdapter(client: StreamClient): ResponseAdapter {
  return streamAdapter(client, 'Cohere', 'command-a-03-2025');
}

const event = (type: string, message: object, index?: number) => ({ type, index, delta: { message } });
const start = { ...event('message-start', { role: 'assistant', content: [] }), id: 'r1' };
const text = (value: string) => event('content-delta', { content: { text: value } }, 0);
const calls = (called: object) => ({ tool_calls: called });
const end = (reason: string, input: number, output: number) => ({
  type: 'message-end',
  delta: { finish_reason: reason, usage: { billed_units: { input_tokens: input, output_tokens: output } } },
});

/** The events of a stream, and what a client makes of them. */
const streams = {
  text: {
    events: [
      start,
      event('content-start', { content: { type: 'thinking', thinking: '' } }, 0),
      event('content-delta', { content: { thinking: 'Thinking…' } }, 0),
      { type: 'content-end', index: 0 },
      event('content-start', { content: { type: 'text', text: '' } }, 1),
      text('Grüße '),
      text('🌍 "quoted"\n'),
      { type: 'content-end', index: 1 },
      end('COMPLETE', 30, 11),
    ],
    text: 'Grüße 🌍 "quoted"\n',
    calls: [],
    output: 11,
  },
  calls: {
    events: [
      start,
      event('tool-plan-delta', { tool_plan: 'Let me look.' }),
      event('tool-call-start', calls({ id: 'c1', function: { name: 'weather', arguments: '' } }), 0),
      event('tool-call-delta', calls({ function: { arguments: '{"location":' } }), 0),
      event('tool-call-delta', calls({ function: { arguments: '"Bern"}' } }), 0),
      { type: 'tool-call-end', index: 0 },
      event('tool-call-start', calls({ id: 'c2', function: { name: 'time', arguments: '{}' } }), 1),
      { type: 'tool-call-end', index: 1 },
      end('TOOL_CALL', 30, 25),
    ],
    text: 'Let me look.',
    calls: [
      { name: 'weather', input: { location: 'Bern' } },
      { name: 'time', input: {} },
    ],
    output: 25,
  },
};

type StreamName = keyof typeof streams;

function bytesOf(events: readonly { readonly type: string }[]): Buffer {
  return Buffer.from(events.map((each) => `event: ${each.type}\ndata: ${JSON.stringify(each)}\n\n`).join(''));
}

const cases = streamClientNames.flatMap((client) =>
  (Object.keys(streams) as StreamName[]).map((name) => ({ client, name })),
);

describe('a converted stream of Cohere', () => {
  for (const { client, name } of cases) {
    const bytes = bytesOf(streams[name].events);

    it(`is what the provider said, with its usage: ${name}, for ${client}`, async () => {
      const adapter = newAdapter(client);
      const answer = await streamClients[client].read(convertedStream(adapter, [bytes]), true);
      const { text: said, calls: made, output } = streams[name];
      assert.deepEqual([answer.text, answer.calls, answer.input, answer.output], [said, made, 30, output]);
      const { reader } = adapter;
      assert.deepEqual([reader.usage?.output, reader.state, reader.usageFinal], [output, 'finished', true]);
    });

    it(`does not depend on how its bytes arrive: ${name}, for ${client}`, () => {
      assertSameAtEachCut(() => newAdapter(client), bytes);
    });

    it(`ends properly wherever the provider or a budget ends it: ${name}, for ${client}`, () =>
      assertEndsProperly(client, () => newAdapter(client), bytes, streams[name].text));
  }

  it('ends with the error that the provider reports', () => {
    for (const client of streamClientNames) {
      const failed = { type: 'message-end', delta: { finish_reason: 'ERROR', error: 'The model broke.' } };
      const adapter = newAdapter(client);
      assert.match(convertedStream(adapter, [bytesOf([start, text('It'), failed])]), /The model broke\./);
      assert.equal(adapter.reader.state, 'failed');
    }
  });

  it('refuses arguments of a tool call that is not open', () => {
    const stray = event('tool-call-delta', calls({ function: { arguments: '{}' } }), 3);
    for (const client of streamClientNames) {
      assert.match(convertedStream(newAdapter(client), [bytesOf([start, stray])]), /unreadable_answer/);
    }
  });
});

describe('a hostile Cohere', () => {
  const types = ['message-start', 'content-start', 'content-delta', 'tool-plan-delta', 'tool-call-start'];
  const anyMessage = fc.record(
    { content: fc.jsonValue(), tool_plan: fc.jsonValue(), tool_calls: fc.jsonValue() },
    { requiredKeys: [] },
  );
  const anyEvent = fc.record(
    {
      type: fc.constantFrom(...types, 'tool-call-delta', 'tool-call-end', 'content-end', 'message-end', 'debug'),
      index: fc.oneof(fc.nat(3), fc.jsonValue()),
      delta: fc.oneof(fc.record({ message: anyMessage, usage: fc.jsonValue() }), fc.jsonValue()),
      message: fc.oneof(anyMessage, fc.jsonValue()),
      usage: fc.jsonValue(),
    },
    { requiredKeys: ['type'] },
  );

  it('cannot break a stream or a document by what it sends', () => {
    fc.assert(
      fc.property(fc.constantFrom(...streamClientNames), fc.array(anyEvent), (client, events) => {
        const body = convertedStream(newAdapter(client), [bytesOf(events)]);
        assert.match(body, streamClients[client].ending);
        for (const line of body.split('\n').filter((each) => each.startsWith('data: {'))) {
          JSON.parse(line.slice('data: '.length));
        }
        convertedDocument(newAdapter(client), Buffer.from(JSON.stringify(events[0] ?? null)));
      }),
      fuzzRuns(300),
    );
  });
});
