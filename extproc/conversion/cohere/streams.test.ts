/** Converts streams of Cohere, and reads what comes out with the official clients. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import type { ResponseAdapter } from '../../providers/adapter.ts';
import { eventsOf } from '../../providers/testing/recordings.ts';
import { convertedCase, convertedDocument, convertedStream } from '../testing.ts';
import { readByAnthropic, readByOpenAi, readByResponses } from '../testing-clients.ts';

const messages = [{ role: 'user', content: 'Hi' }];

const clients = {
  chat: {
    request: { model: 'm', messages, stream: true, stream_options: { include_usage: true } },
    read: readByOpenAi,
    ending: /data: \[DONE\]\n\n$/,
  },
  messages: {
    request: { model: 'm', max_tokens: 100, messages, stream: true },
    read: readByAnthropic,
    ending: /event: (message_stop|error)\ndata: .*\n\n$/,
  },
  responses: {
    request: { model: 'm', input: messages, stream: true },
    read: readByResponses,
    ending: /event: (response\.(completed|incomplete|failed)|error)\ndata: .*\n\n$/,
  },
} as const;

type ClientName = keyof typeof clients;

const names = Object.keys(clients) as readonly ClientName[];

function newAdapter(client: ClientName): ResponseAdapter {
  const body = JSON.stringify(clients[client].request);
  const made = convertedCase({ client, providerApi: 'Cohere', model: 'command-a-03-2025', body });
  assert.ok(typeof made !== 'string', String(made));
  return made.newAdapter();
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

const cases = names.flatMap((client) => (Object.keys(streams) as StreamName[]).map((name) => ({ client, name })));

describe('a converted stream of Cohere', () => {
  for (const { client, name } of cases) {
    const bytes = bytesOf(streams[name].events);

    it(`is what the provider said, with its usage: ${name}, for ${client}`, async () => {
      const adapter = newAdapter(client);
      const answer = await clients[client].read(convertedStream(adapter, [bytes]), true);
      const { text: said, calls: made, output } = streams[name];
      assert.deepEqual([answer.text, answer.calls, answer.input, answer.output], [said, made, 30, output]);
      const { reader } = adapter;
      assert.deepEqual([reader.usage?.output, reader.state, reader.usageFinal], [output, 'finished', true]);
    });

    it(`does not depend on how its bytes arrive: ${name}, for ${client}`, () => {
      const whole = convertedStream(newAdapter(client), [bytes]);
      for (let cut = 1; cut < bytes.length; cut++) {
        const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)].map((each) => Buffer.from(each));
        assert.equal(convertedStream(newAdapter(client), pieces), whole, `cut at ${cut}`);
      }
    });

    it(`ends properly wherever the provider or a budget ends it: ${name}, for ${client}`, async () => {
      const { read, ending } = clients[client];
      for (const [, eventEnd] of eventsOf(bytes)) {
        const body = convertedStream(newAdapter(client), [bytes.subarray(0, eventEnd)]);
        assert.match(body, ending);
        const failed = /before the response was complete/.test(body);
        const answer = await read(body, true).catch((error: unknown) => error);
        assert.equal(answer instanceof Error, failed, String(answer));
        const cut = await read(truncated(newAdapter(client), bytes.subarray(0, eventEnd)), true);
        assert.ok(streams[name].text.startsWith(cut.text));
      }
    });
  }

  it('ends with the error that the provider reports', () => {
    for (const client of names) {
      const failed = { type: 'message-end', delta: { finish_reason: 'ERROR', error: 'The model broke.' } };
      const adapter = newAdapter(client);
      assert.match(convertedStream(adapter, [bytesOf([start, text('It'), failed])]), /The model broke\./);
      assert.equal(adapter.reader.state, 'failed');
    }
  });

  it('refuses arguments of a tool call that is not open', () => {
    const stray = event('tool-call-delta', calls({ function: { arguments: '{}' } }), 3);
    for (const client of names) {
      assert.match(convertedStream(newAdapter(client), [bytesOf([start, stray])]), /unreadable_answer/);
    }
  });
});

/** What a client gets of a stream that a budget ends after these events. */
function truncated({ reader, writer }: ResponseAdapter, bytes: Uint8Array): string {
  let sent = '';
  for (const [eventStart, eventEnd] of eventsOf(bytes)) {
    const facts = reader.read(bytes, eventStart, eventEnd, { text() {} });
    const isSent = writer.write(bytes, eventStart, eventEnd, facts) === 'replace';
    sent += isSent ? Buffer.from(writer.replacement).toString() : '';
  }
  return sent + Buffer.from(writer.truncate(SPENT)).toString();
}

const SPENT = {
  input: 30,
  output: 5,
  cachedInput: 0,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 0,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};

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
      fc.property(fc.constantFrom(...names), fc.array(anyEvent), (client, events) => {
        const body = convertedStream(newAdapter(client), [bytesOf(events)]);
        assert.match(body, clients[client].ending);
        for (const line of body.split('\n').filter((each) => each.startsWith('data: {'))) {
          JSON.parse(line.slice('data: '.length));
        }
        convertedDocument(newAdapter(client), Buffer.from(JSON.stringify(events[0] ?? null)));
      }),
      fuzzRuns(300),
    );
  });
});
