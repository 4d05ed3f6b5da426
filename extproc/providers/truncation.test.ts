import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { failure } from '../errors.ts';
import type { Usage } from '../usage.ts';
import type { ClientApi } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { contentEndpoints } from './gemini/generate-content.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { responses } from './openai/responses.ts';
import { eventsOf, NO_TEXT, newAdapter, PLAIN_REQUEST, passEvents, recordedStreams } from './testing/recordings.ts';

const generateStream = contentEndpoints.find(({ path }) => path === '/v1beta/models/{model}:streamGenerateContent')!;

const USAGE: Usage = {
  input: 100,
  output: 7,
  cachedInput: 20,
  cacheWriteInput: 30,
  cacheWrite1hInput: 0,
  reasoningOutput: 3,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};

/** A name that would break out of a string. */
const MODEL = 'a"b\\c\n';

/**
 * Returns what a client gets when the stream is truncated after this number of events, with or
 * without the last one.
 */
function truncated(endpoint: ClientApi, stream: Buffer, read: number, lastSent: boolean, choices = 1): Buffer {
  const adapter = newAdapter(endpoint, { model: MODEL }, { ...PLAIN_REQUEST, choices });
  const events = eventsOf(stream)
    .slice(0, read)
    .map(([start, end]) => stream.subarray(start, end));
  const unsent = lastSent ? undefined : events.pop();
  passEvents(adapter, ...events);
  if (unsent !== undefined) {
    adapter.reader.read(unsent, 0, unsent.length, NO_TEXT);
  }
  return Buffer.concat([...events, adapter.writer.truncate(USAGE)]);
}

const answering = (body: Uint8Array) => ({
  apiKey: 'none',
  maxRetries: 0,
  fetch: async () => new Response(new Uint8Array(body), { headers: { 'content-type': 'text/event-stream' } }),
});

interface Final {
  readonly reason: string | null | undefined;
  readonly output: number | undefined;
  readonly text: string;
}

async function finalOf(endpoint: ClientApi, body: Uint8Array): Promise<Final> {
  if (endpoint === chat) {
    const client = new OpenAI(answering(body));
    const final = await client.chat.completions.stream({ model: 'm', messages: [] }).finalChatCompletion();
    const choice = final.choices[0];
    return {
      reason: choice?.finish_reason,
      output: final.usage?.completion_tokens,
      text: choice?.message.content ?? '',
    };
  }
  if (endpoint === completions) {
    const client = new OpenAI(answering(body));
    let final: Final = { reason: undefined, output: undefined, text: '' };
    for await (const chunk of await client.completions.create({ model: 'm', prompt: '', stream: true })) {
      final = {
        reason: chunk.choices[0]?.finish_reason ?? final.reason,
        output: chunk.usage?.completion_tokens ?? final.output,
        text: final.text + (chunk.choices[0]?.text ?? ''),
      };
    }
    return final;
  }
  if (endpoint === responses) {
    const client = new OpenAI(answering(body));
    const final = await client.responses.stream({ model: 'm', input: '' }).finalResponse();
    const reason = final.status === 'incomplete' ? final.incomplete_details?.reason : final.status;
    return { reason, output: final.usage?.output_tokens, text: final.output_text };
  }
  if (endpoint === generateStream) {
    return finalOfGemini(body);
  }
  const client = new Anthropic(answering(body));
  const final = await client.messages.stream({ model: 'm', max_tokens: 1, messages: [] }).finalMessage();
  return {
    reason: final.stop_reason,
    output: final.usage.output_tokens,
    text: final.content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
  };
}

async function finalOfGemini(body: Uint8Array): Promise<Final> {
  const { models } = new GoogleGenAI({ apiKey: 'k', httpOptions: { fetch: answering(body).fetch } });
  let final: Final = { reason: undefined, output: undefined, text: '' };
  for await (const chunk of await models.generateContentStream({ model: 'm', contents: '' })) {
    const { candidatesTokenCount, thoughtsTokenCount = 0 } = chunk.usageMetadata ?? {};
    final = {
      reason: chunk.candidates?.[0]?.finishReason ?? final.reason,
      output: candidatesTokenCount === undefined ? final.output : candidatesTokenCount + thoughtsTokenCount,
      text: final.text + (chunk.text ?? ''),
    };
  }
  return final;
}

const TRUNCATION_REASONS = new Map([
  [chat, 'length'],
  [completions, 'length'],
  [responses, 'max_output_tokens'],
  [messages, 'max_tokens'],
  [generateStream, 'MAX_TOKENS'],
]);

/** The official client refuses a tool call without an index. */
const UNREADABLE = 'mistral-tool-call';

/** Streams of client APIs with an official client. */
const readable = recordedStreams().filter(({ endpoint }) => TRUNCATION_REASONS.has(endpoint));

/** The first and last events, and some between. */
function places(events: number): number[] {
  const step = Math.max(1, Math.floor(events / 5));
  return Array.from({ length: events + 1 }, (_, place) => place).filter(
    (place) => place < 8 || place > events - 4 || place % step === 0,
  );
}

describe('truncated streams, read by the official clients', () => {
  for (const { name, endpoint, stream } of readable) {
    if (name.startsWith(UNREADABLE) || name.includes('error')) {
      continue;
    }
    const events = eventsOf(stream).length;

    it(`${name}: has a final state wherever it is truncated`, async () => {
      const own = await finalOf(endpoint, stream);
      const choices = name === 'chat-choices.stream' ? 3 : 1;
      for (const read of places(events)) {
        for (const lastSent of [false, true]) {
          const body = truncated(endpoint, stream, read, lastSent, choices);
          const final = await finalOf(endpoint, body);
          const where = `after ${read} of ${events} events, last sent: ${lastSent}`;
          assert.ok(
            final.reason === TRUNCATION_REASONS.get(endpoint) || final.reason === own.reason,
            `${final.reason} ${where}`,
          );
          assert.ok(final.output === USAGE.output || final.output === own.output, `${final.output} ${where}`);
          assert.ok(own.text.startsWith(final.text), `${final.text} ${where}`);
        }
      }
    });
  }

  it('close each choice of a chat once, also those that had not begun', async () => {
    const recorded = recordedStreams().find(({ name }) => name === 'chat-text.stream');
    assert.ok(recorded);
    const body = truncated(chat, recorded.stream, 5, true, 3);
    const client = new OpenAI(answering(body));
    const final = await client.chat.completions.stream({ model: 'm', messages: [], n: 3 }).finalChatCompletion();
    assert.deepEqual(
      final.choices.map((choice) => choice.finish_reason),
      ['length', 'length', 'length'],
    );
    assert.deepEqual(final.usage?.prompt_tokens_details, { cached_tokens: 20, audio_tokens: 0 });
    const own = JSON.parse(recorded.stream.toString().slice(6, recorded.stream.indexOf('\n'))) as Record<
      string,
      unknown
    >;
    const ending = body.toString().split('\n\n').slice(5, -1);
    assert.equal(ending.at(-1), 'data: [DONE]');
    assert.equal(ending.length, 5);
    for (const chunk of ending.slice(0, -1)) {
      const { id, created, model, system_fingerprint } = JSON.parse(chunk.slice(6)) as Record<string, unknown>;
      assert.deepEqual(
        { id, created, model, system_fingerprint },
        { id: own['id'], created: own['created'], model: own['model'], system_fingerprint: own['system_fingerprint'] },
      );
    }
  });

  it('contain no usage for a client that did not ask for it', () => {
    const recorded = recordedStreams().find(({ name }) => name === 'chat-text.stream');
    assert.ok(recorded);
    const adapter = newAdapter(chat, {}, { ...PLAIN_REQUEST, usageAsked: false });
    for (const [start, end] of eventsOf(recorded.stream).slice(0, 4)) {
      passEvents(adapter, recorded.stream.subarray(start, end));
    }
    assert.doesNotMatch(Buffer.from(adapter.writer.truncate(USAGE)).toString(), /usage/);
  });

  it('repeat the whole text at the end of a response, and continue the sequence numbers', () => {
    const recorded = recordedStreams().find(({ name }) => name === 'responses-file-search.stream');
    assert.ok(recorded);
    const body = truncated(responses, recorded.stream, 40, true).toString();
    const data = body.split('\n').flatMap((line) => (line.startsWith('data: ') ? [JSON.parse(line.slice(6))] : []));
    assert.deepEqual(
      data.slice(40).map(({ type, sequence_number }) => [type, sequence_number]),
      [
        ['response.output_text.done', 40],
        ['response.content_part.done', 41],
        ['response.output_item.done', 42],
        ['response.incomplete', 43],
      ],
    );
    const text = data.map(({ type, delta }) => (type === 'response.output_text.delta' ? delta : '')).join('');
    assert.ok(text.length > 50);
    assert.equal(data[40].text, text);
    assert.equal(data[41].part.text, text);
    assert.equal(data[42].item.content[0].text, text);
    assert.equal(data[43].response.output.at(-1).content[0].text, text);
    assert.equal(data[43].response.usage.total_tokens, 107);
  });

  it('have an empty text if the text was too long to keep', () => {
    const recorded = recordedStreams().find(({ name }) => name === 'responses-file-search.stream');
    assert.ok(recorded);
    const events = eventsOf(recorded.stream);
    const adapter = newAdapter(responses);
    const delta = events.findIndex(([start, end]) =>
      recorded.stream.subarray(start, end).includes('output_text.delta'),
    );
    for (const [start, end] of events.slice(0, delta)) {
      passEvents(adapter, recorded.stream.subarray(start, end));
    }
    const [start, end] = events[delta] as [number, number];
    const long = Buffer.from(
      recorded.stream.toString('utf8', start, end).replace('"delta":"', `"delta":"${'long '.repeat(2_000)}`),
    );
    for (let time = 0; time < 20; time++) {
      passEvents(adapter, long);
    }
    const body = Buffer.from(adapter.writer.truncate(USAGE)).toString();
    assert.ok(body.length < 20_000);
    assert.match(body, /"type":"response.output_text.done".*"text":""/);
    assert.match(body, /event: response.incomplete\n/);
  });
});

describe('a stream with malformed items', () => {
  it('still ends properly when items, parts and the response are no objects', () => {
    for (const value of ['7', '"a"', 'null', '[1]', '{"content":7}', '{"id":{}}']) {
      const types = ['response.created', 'response.output_item.added', 'response.content_part.added'];
      const adapter = newAdapter(responses);
      for (const type of [...types, 'response.output_text.delta', 'response.output_item.done']) {
        for (const output_index of [0, 1]) {
          const data = `{"type":"${type}","output_index":${output_index},"response":${value},"item":${value},"part":${value},"delta":"a"}`;
          passEvents(adapter, Buffer.from(`data: ${data}\n\n`));
          if (type.endsWith('done')) {
            break;
          }
        }
      }
      const events = Buffer.from(adapter.writer.truncate(USAGE)).toString().trim().split('\n\n');
      for (const event of events) {
        JSON.parse(event.slice(event.indexOf('data: ') + 6));
      }
      assert.match(events.at(-1) ?? '', /^event: response.incomplete/);
    }
  });
});

describe('failed streams, read by the official clients', () => {
  const problem = failure('backend_unavailable', 'The "backend" broke off.');

  for (const { name, endpoint, stream } of readable) {
    it(`${name}: the client throws the failure`, async () => {
      const adapter = newAdapter(endpoint);
      const [start, end] = eventsOf(stream)[0] as [number, number];
      passEvents(adapter, stream.subarray(start, end));
      const body = Buffer.concat([stream.subarray(start, end), adapter.writer.fail(problem)]);
      await assert.rejects(finalOf(endpoint, body), /The \\?"backend\\?" broke off/);
    });
  }
});
