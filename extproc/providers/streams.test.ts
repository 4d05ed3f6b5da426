import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentsOf, reportedUsage } from '../../fixtures/exchange.ts';
import { fixtures } from '../../fixtures/fixtures.ts';
import { noRecordings } from '../../fixtures/recordings.ts';
import type { Usage } from '../usage.ts';
import { eventsOf, NO_TEXT, newAdapter, recordedStreams, relayed, TextByChannel } from './testing/recordings.ts';

/** Members that the payloads of all APIs share, as far as this test reads them. */
interface Payload {
  readonly type?: string;
  readonly choices?: readonly {
    readonly text?: string;
    readonly delta?: PayloadDelta;
    readonly finish_reason?: string | null;
  }[];
  readonly delta?: string | PayloadDelta;
  readonly content_block?: { readonly name?: string; readonly text?: string };
  readonly item?: { readonly name?: string };
  readonly token?: { readonly text: string };
  readonly candidates?: readonly {
    readonly content: { readonly parts: readonly PayloadPart[] };
    readonly finishReason?: string;
  }[];
  readonly id?: string;
  readonly responseId?: string;
  readonly message?: { readonly id?: string };
  readonly response?: { readonly id?: string };
}

interface PayloadPart {
  readonly text?: string;
  readonly functionCall?: { readonly name: string; readonly args: { readonly city: string } };
}

interface PayloadDelta {
  readonly content?: string | null;
  readonly text?: string;
  readonly reasoning?: string;
  readonly reasoning_content?: string | null;
  readonly thinking?: string;
  readonly partial_json?: string;
  readonly stop_reason?: string | null;
  readonly tool_calls?: readonly { readonly function: { readonly name?: string; readonly arguments?: string } }[];
}

const payloads = (stream: Buffer): readonly Payload[] =>
  documentsOf({ answer: stream.toString(), stream: true }) as readonly Payload[];

function expectedUsage(stream: Buffer) {
  const usage = reportedUsage({ answer: stream.toString(), stream: true });
  return usage && { input: usage.input, output: usage.output };
}

/** Collects all text of the response, as clients do. */
function textOf(stream: Buffer): string {
  let text = '';
  for (const payload of payloads(stream)) {
    for (const choice of payload.choices ?? []) {
      const delta: PayloadDelta = choice.delta ?? { text: choice.text ?? '' };
      for (const call of delta.tool_calls ?? []) {
        text += (call.function.name ?? '') + (call.function.arguments ?? '');
      }
      text += (delta.reasoning ?? delta.reasoning_content ?? '') + (delta.content ?? delta.text ?? '');
    }
    text += payload.token?.text ?? '';
    for (const part of payload.candidates?.flatMap(({ content }) => content.parts) ?? []) {
      text += part.text ?? `${part.functionCall?.name}${part.functionCall?.args.city}`;
    }
    if (typeof payload.delta === 'string') {
      text += payload.delta;
    } else if (payload.delta) {
      text += payload.delta.text ?? payload.delta.thinking ?? payload.delta.partial_json ?? '';
    }
    text += payload.content_block?.name ?? payload.content_block?.text ?? '';
    if (payload.type === 'response.output_item.added') {
      text += payload.item?.name ?? '';
    }
  }
  return text;
}

/** Returns the id of the response, and why it ends. */
function namesOf(stream: Buffer): object {
  const all = payloads(stream);
  const ids = all.map(({ id, responseId, message, response }) => id || responseId || message?.id || response?.id);
  const reasons = all.flatMap(({ choices = [], candidates = [], delta }) => [
    ...choices.map((choice) => choice.finish_reason),
    ...candidates.map((candidate) => candidate.finishReason),
    typeof delta === 'object' ? delta.stop_reason : undefined,
  ]);
  return { id: ids.find(Boolean), reasons: reasons.filter(Boolean) };
}

class TextInOrder {
  raw = '';
  text(_channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.raw += Buffer.from(bytes.subarray(start, end)).toString('latin1');
  }
  get decoded(): string {
    return JSON.parse(`"${Buffer.from(this.raw, 'latin1').toString()}"`) as string;
  }
}

const total = (usage: Usage | undefined) => usage && { input: usage.input, output: usage.output };

describe('streams', () => {
  it('include recordings of real providers', { skip: noRecordings }, () => {
    assert.ok(recordedStreams().length > fixtures.filter(({ stream }) => stream).length + 10);
  });

  for (const { name, endpoint, stream } of recordedStreams()) {
    const expected = expectedUsage(stream);

    it(`${name}: the provider's numbers and all text, in one piece`, () => {
      const adapter = newAdapter(endpoint);
      const text = new TextInOrder();
      assert.deepEqual(relayed(adapter, [stream], text), stream);
      assert.deepEqual(total(adapter.reader.usage), expected);
      const failed = name.includes('error');
      assert.equal(adapter.reader.usageFinal, expected !== undefined && !failed);
      assert.equal(adapter.reader.state, failed ? 'failed' : 'finished');
      assert.equal(adapter.reader.unreadable, 0);
      assert.equal(text.decoded, textOf(stream));
      const { responseId: id, finishReasons: reasons = [] } = adapter.reader;
      assert.deepEqual({ id, reasons }, namesOf(stream));
      // TGI serves one model and does not name it.
      assert.equal(adapter.reader.responseModel !== undefined, endpoint.path !== '/generate_stream');
    });

    it(`${name}: the same for byte-by-byte input`, () => {
      const adapter = newAdapter(endpoint);
      const text = new TextInOrder();
      const bytes = function* () {
        for (let at = 0; at < stream.length; at++) {
          yield stream.subarray(at, at + 1);
        }
      };
      assert.ok(relayed(adapter, bytes(), text).equals(stream));
      assert.deepEqual(total(adapter.reader.usage), expected);
      assert.equal(text.decoded, textOf(stream));
    });

    if (stream.length < 2_500) {
      it(`${name}: the same in two pieces, for every cut`, () => {
        for (let at = 1; at < stream.length; at++) {
          const adapter = newAdapter(endpoint);
          const text = new TextInOrder();
          assert.ok(relayed(adapter, [stream.subarray(0, at), stream.subarray(at)], text).equals(stream));
          assert.deepEqual(total(adapter.reader.usage), expected);
          assert.equal(text.decoded, textOf(stream));
        }
      });
    }

    it(`${name}: the same with and without templates`, () => {
      const read = (templates: boolean) => {
        const adapter = newAdapter(endpoint, { templates, hideUsage: true });
        const text = new TextByChannel();
        const sent = relayed(adapter, [stream], text);
        const { usage, usageFinal, state, responseModel, responseId, finishReasons } = adapter.reader;
        const facts = { usage, usageFinal, state, responseModel, responseId, finishReasons };
        return { sent: sent.toString(), text: text.channels, ...facts };
      };
      assert.deepEqual(read(true), read(false));
    });

    it(`${name}: the same with CRLF, comments and data in several lines`, () => {
      const adapter = newAdapter(endpoint);
      const text = new TextInOrder();
      const other = stream.toString().replaceAll(/\r?\n/g, '\r\n').replaceAll('\r\n\r\n', '\r\n: keep-alive\r\n\r\n');
      assert.equal(relayed(adapter, [Buffer.from(other)], text).toString(), other);
      assert.deepEqual(total(adapter.reader.usage), expected);
      assert.equal(text.decoded, textOf(stream));
    });
  }

  it('reads data in several lines', () => {
    const recorded = recordedStreams().find(({ name }) => name === 'chat-text.stream');
    assert.ok(recorded);
    const other = recorded.stream.toString().replaceAll(',"choices":', ',\ndata: "choices":');
    const adapter = newAdapter(recorded.endpoint, { hideUsage: false });
    const text = new TextInOrder();
    assert.equal(relayed(adapter, [Buffer.from(other)], text).toString(), other);
    assert.deepEqual(total(adapter.reader.usage), { input: 18, output: 96 });
    assert.equal(text.decoded, textOf(recorded.stream));
  });

  it('reports cached, cache-write and reasoning tokens', () => {
    const usageOf = (name: string) => {
      const recorded = recordedStreams().find((stream) => stream.name === name);
      assert.ok(recorded);
      const adapter = newAdapter(recorded.endpoint);
      relayed(adapter, [recorded.stream], NO_TEXT);
      return adapter.reader.usage;
    };
    assert.deepEqual(usageOf('messages-cache.stream'), {
      input: 6 + 3_000 + 5_000,
      output: 99,
      cachedInput: 5_000,
      cacheWriteInput: 3_000,
      cacheWrite1hInput: 0,
      reasoningOutput: 0,
      audioInput: 0,
      audioOutput: 0,
      imageInput: 0,
      imageOutput: 0,
    });
    // xAI's completion_tokens are 2, its total 56 with 13 of input: reasoning is billed output.
    assert.equal(usageOf('xai-reasoning.stream')?.output, 43);
    assert.equal(usageOf('xai-reasoning.stream')?.reasoningOutput, 41);
    assert.equal(usageOf('xai-reasoning.stream')?.cachedInput, 11);
    assert.equal(usageOf('responses-file-search.stream')?.reasoningOutput, 512);
  });

  it('keeps the texts of choices, reasoning and tools apart', () => {
    const stream = Buffer.from(
      [
        '{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a","reasoning":"r","reasoning_content":"r"}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"f","arguments":"{}"}},{"index":0,"function":{"arguments":"1"}}]},"index":0}]}',
        '{"choices":[{"delta":{"content":"A"},"index":0}]}',
      ]
        .map((data) => `data: ${data}\n\n`)
        .join(''),
    );
    const recorded = recordedStreams().find(({ name }) => name === 'chat-text.stream');
    assert.ok(recorded);
    const text = new TextByChannel();
    relayed(newAdapter(recorded.endpoint), [stream], text);
    assert.deepEqual([...text.channels.values()].sort(), ['1', 'aA', 'b', 'f{}', 'r']);
  });

  it('passes and counts unreadable events', () => {
    for (const { endpoint } of recordedStreams().slice(0, 20)) {
      const adapter = newAdapter(endpoint);
      const stream = Buffer.from(
        'data: {"id":\n\ndata: {"choices":[{"delta":{"content":"x\n\ndata: nonsense\n\ndata:\n\n: ping\n\n',
      );
      assert.deepEqual(relayed(adapter, [stream], NO_TEXT), stream);
      assert.ok(adapter.reader.unreadable >= 3);
    }
  });

  it('has events for every recording', () => {
    for (const { stream } of recordedStreams()) {
      assert.ok(eventsOf(stream).length > 2);
    }
  });
});
