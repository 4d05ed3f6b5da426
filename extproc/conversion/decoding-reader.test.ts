import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { newEventSplitter } from '../sse/events.ts';
import { anthropicProvider } from './anthropic/provider.ts';
import { chatClient } from './chat/client.ts';
import type { ConversionClient, ConversionProvider } from './conversion.ts';
import { DecodingReader } from './decoding-reader.ts';
import { messagesClient } from './messages/client.ts';
import { openAiProvider } from './openai/provider.ts';
import { convertedCase } from './testing.ts';

const BODIES: Readonly<Record<string, string>> = {
  chat: '{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}',
  messages: '{"model":"m","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"Hi"}]}',
};

const anthropicStart =
  'data: {"type":"message_start","message":{"id":"msg_1","model":"c","content":[],"usage":{"input_tokens":3}}}\n\n';
const block = (type: string, index: number, members: string) =>
  `data: {"type":"content_block_start","index":${index},"content_block":{"type":"${type}",${members}}}\n\n`;
const delta = (index: number, type: string, member: string) => (text: string) =>
  `data: {"type":"content_block_delta","index":${index},"delta":{"type":"${type}","${member}":"${text}"}}\n\n`;
const chunk = (member: string) => (text: string) =>
  `data: {"id":"c","created":1,"model":"g","choices":[{"index":0,"delta":${member.replace('TEXT', text)}}],"usage":null}\n\n`;

interface RepeatedStream {
  readonly name: string;
  readonly client: ConversionClient;
  readonly provider: ConversionProvider;
  readonly api: string;
  readonly before: string;
  /** Events that differ in a text, by turns. */
  readonly events: readonly ((text: string) => string)[];
}

const anthropic = { client: chatClient as ConversionClient, provider: anthropicProvider, api: 'Anthropic' };
const openai = { client: messagesClient as ConversionClient, provider: openAiProvider, api: 'OpenAI' };

const streams: readonly RepeatedStream[] = [
  {
    ...anthropic,
    name: 'text of messages',
    before: anthropicStart + block('text', 0, '"text":""'),
    events: [delta(0, 'text_delta', 'text')],
  },
  {
    ...anthropic,
    name: 'deltas of a block that is not open',
    before: anthropicStart + block('thinking', 0, '"thinking":""'),
    events: [
      delta(0, 'thinking_delta', 'thinking'),
      delta(0, 'thinking_delta', 'thinking'),
      delta(1, 'text_delta', 'text'),
    ],
  },
  {
    ...anthropic,
    name: 'arguments with pings between',
    before: anthropicStart + block('tool_use', 0, '"id":"t","name":"f","input":{}'),
    events: [delta(0, 'input_json_delta', 'partial_json'), () => 'event: ping\ndata: {"type":"ping"}\n\n'],
  },
  { ...openai, name: 'text of chat completions', before: '', events: [chunk('{"content":"TEXT"}')] },
  {
    ...openai,
    name: 'reasoning and text by turns',
    before: '',
    events: [chunk('{"reasoning_content":"TEXT"}'), chunk('{"reasoning_content":"TEXT"}'), chunk('{"content":"TEXT"}')],
  },
  {
    ...openai,
    name: 'arguments of calls by turns',
    before: '',
    events: [0, 0, 0, 1, 1, 0].map((index) =>
      chunk(`{"tool_calls":[{"index":${index},"id":"c${index}","function":{"arguments":"TEXT"}}]}`),
    ),
  },
];

/** Contents of JSON strings as bytes, some of which no JSON has. */
const contents = fc.oneof(
  fc.string().map((text) => Buffer.from(JSON.stringify(text).slice(1, -1))),
  fc
    .constantFrom('word', ' word', '', '\\u00e9', 'é', '\\n', '\\ud83d\\ude00', '\u2028', '\\"', 'a'.repeat(1500))
    .map((text) => Buffer.from(text)),
  fc.constantFrom(Buffer.of(1), Buffer.of(0x0a), Buffer.of(0xff, 0x41), Buffer.from('\\x'), Buffer.from('\\ud800')),
);

/** Returns what the client gets, event by event. */
function relayed(
  { client, provider, api, before, events }: RepeatedStream,
  texts: readonly Buffer[],
  templates: boolean,
) {
  const name = api === 'Anthropic' ? 'chat' : 'messages';
  const made = convertedCase({ client: name, providerApi: api as 'OpenAI', body: BODIES[name]! });
  assert.ok(typeof made !== 'string', String(made));
  const options = { hideUsage: false, model: 'm', templates };
  const reader = new DecodingReader(provider.meters!(made.facts, options).reader, provider.newDecoder());
  const writer = client.newWriter(made.facts, options, undefined);
  const splitter = newEventSplitter();
  const sent: string[] = [];
  const pieces = texts.map((text, index) => {
    const [head = '', tail = ''] = events[index % events.length]!('\u0000').split('\u0000');
    return Buffer.concat([Buffer.from(head), tail === '' ? Buffer.alloc(0) : text, Buffer.from(tail)]);
  });
  splitter.push(Buffer.concat([Buffer.from(before), ...pieces]));
  while (splitter.next()) {
    const { bytes, start, end } = splitter;
    const facts = reader.read(bytes, start, end, { text() {} });
    const isSent = writer.write(bytes, start, end, facts) === 'replace';
    sent.push(isSent ? Buffer.from(writer.replacement).toString() : '');
  }
  return sent;
}

describe('an event that equals the one before except for a text', () => {
  for (const stream of streams) {
    it(`becomes what its decoder makes of it: ${stream.name}`, () => {
      fc.assert(
        fc.property(fc.array(contents, { minLength: 3, maxLength: 12 }), (texts) => {
          assert.deepEqual(relayed(stream, texts, true), relayed(stream, texts, false));
        }),
        fuzzRuns(200),
      );
    });
  }
});
