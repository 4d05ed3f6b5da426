import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentsOf, type RecordedExchange, reportedUsage } from '../../fixtures/exchange.ts';
import { fixtures } from '../../fixtures/fixtures.ts';
import { noRecordings } from '../../fixtures/recordings.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { Usage } from '../usage.ts';
import type { ClientApi, UnaryReader } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { responses } from './openai/responses.ts';
import { exchanges, NO_TEXT, newAdapter } from './testing/recordings.ts';

const answers = exchanges().filter(({ stream }) => !stream);

function reader(endpoint: ClientApi): UnaryReader {
  return newAdapter(endpoint).unary;
}

const total = (usage: Usage | undefined) => usage && { input: usage.input, output: usage.output };

function expectedUsage(answer: RecordedExchange) {
  const usage = reportedUsage(answer);
  return usage && { input: usage.input, output: usage.output };
}

function modelOf(answer: RecordedExchange): string | undefined {
  const { model, modelVersion } = documentsOf(answer)[0];
  return model ?? modelVersion;
}

function namesOf(answer: RecordedExchange): object {
  const { id, responseId, stop_reason, choices = [], candidates = [] } = documentsOf(answer)[0];
  const reasons = [
    stop_reason,
    ...choices.map((choice: { finish_reason?: string }) => choice.finish_reason),
    ...candidates.map((candidate: { finishReason?: string }) => candidate.finishReason),
  ];
  return { id: id ?? responseId, reasons: reasons.filter(Boolean) };
}

class AllText implements TextSink {
  raw = '';
  text(_channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.raw += Buffer.from(bytes.subarray(start, end)).toString('latin1');
  }
}

describe('unary responses', () => {
  it('include recordings of real providers', { skip: noRecordings }, () => {
    assert.ok(exchanges().length > fixtures.length + 40);
  });

  for (const exchange of answers) {
    const { name, endpoint, answer } = exchange;
    const expected = expectedUsage(exchange);
    const bytes = Buffer.from(answer);
    const model = modelOf(exchange);

    it(`${name}: the provider's numbers, in one piece and byte by byte`, () => {
      const whole = reader(endpoint);
      const wholeText = new AllText();
      whole.push(bytes, wholeText);
      assert.deepEqual(total(whole.usage), expected);
      assert.equal(whole.responseModel, model);
      const traced = newAdapter(endpoint, { isTraced: true }).unary;
      traced.push(bytes, NO_TEXT);
      const { responseId: id, finishReasons: reasons = [] } = traced;
      assert.deepEqual({ id, reasons }, namesOf(exchange));
      assert.deepEqual(traced.usage, whole.usage);
      assert.deepEqual([whole.responseId, whole.finishReasons], [undefined, undefined]);
      const cut = reader(endpoint);
      const cutText = new AllText();
      for (let at = 0; at < bytes.length; at++) {
        cut.push(bytes.subarray(at, at + 1), cutText);
      }
      assert.deepEqual(cut.usage, whole.usage);
      assert.equal(cut.responseModel, model);
      assert.equal(cutText.raw, wholeText.raw);
    });
  }

  it('are the same in two pieces, for every cut', () => {
    for (const exchange of answers.filter(({ answer }) => answer.length < 1_500)) {
      const { endpoint } = exchange;
      const bytes = Buffer.from(exchange.answer);
      for (let at = 1; at < bytes.length; at++) {
        const cut = reader(endpoint);
        for (const piece of [bytes.subarray(0, at), bytes.subarray(at)]) {
          const given = Buffer.from(piece);
          cut.push(given, NO_TEXT);
          // Overwrites the piece after use, as the read buffer is in production.
          given.fill(0xdb);
        }
        assert.deepEqual(total(cut.usage), expectedUsage(exchange));
        assert.equal(cut.responseModel, modelOf(exchange));
      }
    }
  });

  it('contain the text of content, reasoning and tools', () => {
    const textOf = (name: string) => {
      const answer = answers.find((one) => one.name === name);
      assert.ok(answer);
      const sink = new AllText();
      reader(answer.endpoint).push(Buffer.from(answer.answer), sink);
      return sink.raw;
    };
    assert.match(textOf('deepseek-reasoning.whole'), /budget ends[\s\S]*name the two sources/);
    assert.match(textOf('mistral-tool-call.whole'), /weather\{\\"city\\"/);
    assert.match(textOf('messages-tool.whole'), /weather/);
    assert.match(textOf('messages-thinking.whole'), /name the two sources[\s\S]*budget ends/);
    assert.match(textOf('responses-hidden-reasoning.whole'), /budget ends/);
    assert.match(textOf('gemini-thoughts.whole'), /name the two sources[\s\S]*budget ends/);
    assert.match(textOf('gemini-tool-call.whole'), /weathercityZ/);
  });

  it('have no usage if they are truncated or not JSON', () => {
    for (const endpoint of [chat, completions, embeddings, responses, messages]) {
      for (const text of ['', '<html>', '{"usage":{"prompt_tokens":', 'null', '[1]']) {
        const whole = reader(endpoint);
        whole.push(Buffer.from(text), NO_TEXT);
        assert.equal(whole.usage, undefined);
      }
    }
  });
});
