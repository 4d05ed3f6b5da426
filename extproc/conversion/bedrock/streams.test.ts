/** Converts streams of Bedrock, and reads what comes out with the official clients. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { awsEventStream, awsMessage } from '../../../fixtures/aws-event-stream.ts';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import type { ResponseAdapter } from '../../providers/adapter.ts';
import { convertedCase, convertedDocument, convertedStream } from '../testing.ts';
import { readByAnthropic, readByOpenAi } from '../testing-clients.ts';

const MODEL = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0';
const requests = {
  chat: { model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream_options: { include_usage: true } },
  messages: { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] },
};
type ClientName = keyof typeof requests;
const clients = ['chat', 'messages'] as const;
const readers = { chat: readByOpenAi, messages: readByAnthropic };

const delta = (contentBlockIndex: number, value: object) => ({
  contentBlockDelta: { contentBlockIndex, delta: value },
});
const stop = (contentBlockIndex: number) => ({ contentBlockStop: { contentBlockIndex } });
const call = (contentBlockIndex: number, toolUseId: string, name: string) => ({
  contentBlockStart: { contentBlockIndex, start: { toolUse: { toolUseId, name } } },
});

/** Reasoning, text and two calls, of which one has no arguments. */
const events: readonly object[] = [
  { messageStart: { role: 'assistant' } },
  delta(0, { reasoningContent: { text: 'They ask. ' } }),
  delta(0, { reasoningContent: { signature: 'c2ln' } }),
  stop(0),
  delta(1, { text: 'Grüße ' }),
  delta(1, { text: 'aus Bern.' }),
  stop(1),
  call(2, 'tooluse_1', 'weather'),
  delta(2, { toolUse: { input: '{"location":' } }),
  delta(2, { toolUse: { input: '"Bern"}' } }),
  stop(2),
  call(3, 'tooluse_2', 'time'),
  stop(3),
  { messageStop: { stopReason: 'tool_use' } },
  { metadata: { usage: { inputTokens: 10, outputTokens: 30, totalTokens: 52, cacheReadInputTokens: 12 } } },
];
const bytes = Buffer.from(awsEventStream(events));
const expected = {
  text: 'Grüße aus Bern.',
  calls: [
    { name: 'weather', input: { location: 'Bern' } },
    { name: 'time', input: {} },
  ],
  input: 22,
  output: 30,
};

function adapterFor(client: ClientName, more: object = { stream: true }): ResponseAdapter {
  const body = JSON.stringify({ ...requests[client], ...more });
  const made = convertedCase({ client, providerApi: 'AWSBedrock', model: MODEL, body });
  assert.ok(typeof made !== 'string', String(made));
  return made.newAdapter();
}

const convert = (client: ClientName, ...pieces: readonly Uint8Array[]) => convertedStream(adapterFor(client), pieces);

for (const client of clients) {
  const ending = client === 'chat' ? /data: \[DONE\]\n\n$/ : /event: (message_stop|error)\ndata: .*\n\n$/;

  describe(`a stream of Bedrock for the client of ${client}`, () => {
    it('reads as what the provider sent', async () => {
      assert.deepEqual(await readers[client](convert(client, bytes), true), expected);
    });

    it('is metered by the usage of the provider', () => {
      const { reader } = adapterOfRead(client, bytes);
      const { usage } = reader;
      assert.deepEqual([usage?.input, usage?.output, usage?.cachedInput], [22, 30, 12]);
      assert.ok(reader.usageFinal);
    });

    it('does not depend on how its bytes arrive', () => {
      const whole = convert(client, bytes);
      const single = [...bytes].map((byte) => Buffer.from([byte]));
      assert.equal(convert(client, ...single), whole);
      fc.assert(
        fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (places) => {
          const cuts = [0, ...places.sort((a, b) => a - b), bytes.length];
          const pieces = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
          assert.equal(convert(client, ...pieces), whole);
        }),
        fuzzRuns(50),
      );
    });

    it('ends properly wherever the provider ends it, also inside of a message', async () => {
      for (let count = 0; count <= events.length; count++) {
        const part = awsEventStream(events.slice(0, count));
        const begun = count < events.length ? awsMessage(events[count]!).subarray(0, 20) : new Uint8Array(0);
        const body = convert(client, part, begun);
        assert.match(body, ending);
        const answer = await readers[client](body, true).catch((error: unknown) => error);
        const isComplete = count >= events.length - 1;
        assert.equal(answer instanceof Error, !isComplete, String(answer));
        assert.ok(isComplete || /before the response was complete/.test(String(answer)), String(answer));
      }
    });

    it('ends properly wherever a budget ends it', async () => {
      for (let count = 1; count <= events.length; count++) {
        const adapter = adapterFor(client);
        const sent = sentBy(adapter, events.slice(0, count));
        const body = sent + Buffer.from(adapter.writer.truncate(BUDGET_USAGE)).toString();
        assert.match(body, ending);
        await readers[client](body, true);
      }
    });

    it('ends with the error of the provider', async () => {
      for (const [name, seen] of [
        ['throttlingException', 'rate_limit_error'],
        ['serviceUnavailableException', client === 'chat' ? 'server_error' : 'overloaded_error'],
        ['modelStreamErrorException', client === 'chat' ? 'server_error' : 'api_error'],
        ['validationException', 'invalid_request_error'],
      ] as const) {
        const failed = [...events.slice(0, 6), { [name]: { message: 'Told by Bedrock' } }, ...events.slice(6)];
        const adapter = adapterFor(client);
        const body = convertedStream(adapter, [awsEventStream(failed)]);
        assert.match(body, ending);
        const error = await readers[client](body, true).catch((each: unknown) => each);
        assert.match(String(error), /Told by Bedrock/);
        assert.match(body, new RegExp(seen));
        assert.equal(adapter.reader.state, 'failed');
      }
    });

    it('ends with an error at a message whose checksum is wrong', async () => {
      const broken = Buffer.from(bytes);
      broken[broken.length - 1]! ^= 1;
      const last = events.length - 1;
      const at = awsEventStream(events.slice(0, last)).length;
      const body = convert(client, broken.subarray(0, at), broken.subarray(at));
      assert.match(body, /does not follow its API/);
    });

    it('keeps its form in any order of events', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(events.length - 1), { maxLength: 2 * events.length }), async (order) => {
          const body = convert(client, awsEventStream(order.map((place) => events[place]!)));
          assert.match(body, ending);
          const answer = await readers[client](body, true).catch((error: unknown) => error);
          // Parts of arguments pass as they are; in another order, they are no JSON.
          const hasArguments = order.some((place) => JSON.stringify(events[place]).includes('"input":'));
          const foreseen = hasArguments ? /provider|JSON/i : /provider/i;
          assert.ok(!(answer instanceof Error) || foreseen.test(String(answer)), String(answer));
        }),
        fuzzRuns(40),
      );
    });

    it('keeps its form whatever its messages contain', () => {
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.constantFrom(...names), fc.jsonValue())), (values) => {
          const body = convert(client, awsEventStream(values.map(([name, value]) => ({ [name]: value }))));
          assert.match(body, ending);
        }),
        fuzzRuns(200),
      );
    });

    it('reads as a document does that the provider sends in its place', async () => {
      const content = [
        { text: 'Grüße aus Bern.' },
        { toolUse: { toolUseId: 'tooluse_1', name: 'weather', input: { location: 'Bern' } } },
        { toolUse: { toolUseId: 'tooluse_2', name: 'time', input: {} } },
      ];
      const usage = { inputTokens: 10, outputTokens: 30, totalTokens: 40, cacheReadInputTokens: 12 };
      const document = { output: { message: { role: 'assistant', content } }, stopReason: 'tool_use', usage };
      const body = convertedDocument(adapterFor(client, {}), Buffer.from(JSON.stringify(document)));
      assert.deepEqual(await readers[client](body, false), expected);
    });
  });
}

const names = events.map((event) => Object.keys(event)[0]!);
const BUDGET_USAGE = {
  input: 3,
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

function adapterOfRead(client: ClientName, stream: Uint8Array): ResponseAdapter {
  const adapter = adapterFor(client);
  convertedStream(adapter, [stream]);
  return adapter;
}

/** What the client has of a stream whose end has not come. */
function sentBy({ reader, writer }: ResponseAdapter, some: readonly object[]): string {
  let sent = '';
  for (const event of some) {
    const message = awsMessage(event);
    const facts = reader.read(message, 0, message.length, { text() {} });
    sent += writer.write(message, 0, message.length, facts) === 'replace' ? Buffer.from(writer.replacement) : '';
  }
  return sent;
}
