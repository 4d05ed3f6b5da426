import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Endpoint, TextSink, Usage, WholeReader } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { responses } from './openai/responses.ts';
import { exchanges, NO_TEXT, PLAIN_REQUEST, recordings } from './recordings.ts';

interface Answer {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly text: string;
}

const paths = new Map([chat, completions, embeddings].map((endpoint) => [endpoint.path, endpoint]));

const answers: readonly Answer[] = [
  ...recordings('openai-compatible', '.json').map((recording) => ({ ...recording, endpoint: chat })),
  ...recordings('openai-responses', '.json').map((recording) => ({ ...recording, endpoint: responses })),
  ...recordings('anthropic', '.json').map((recording) => ({ ...recording, endpoint: messages })),
  ...exchanges()
    .filter(({ response }) => response.trimStart().startsWith('{'))
    .map(({ name, url, response }) => ({
      name,
      endpoint: paths.get(new URL(url).pathname) ?? chat,
      text: response,
    })),
];

function reader(endpoint: Endpoint): WholeReader {
  const answer = endpoint.answer?.(PLAIN_REQUEST, { hideUsage: false, model: 'some-model' });
  assert.ok(answer);
  return answer.whole;
}

interface ToldUsage {
  readonly prompt_tokens?: number;
  readonly total_tokens: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_creation_input_tokens?: number;
  readonly cache_read_input_tokens?: number;
}

/** What the document says, read with JSON.parse. */
function told(text: string): { input: number; output: number } | undefined {
  const { usage } = JSON.parse(text) as { usage?: ToldUsage };
  if (usage === undefined) return undefined;
  if (usage.prompt_tokens !== undefined) {
    return { input: usage.prompt_tokens, output: usage.total_tokens - usage.prompt_tokens };
  }
  const cached = (usage.cache_creation_input_tokens ?? 0) + (usage.cache_read_input_tokens ?? 0);
  return { input: usage.input_tokens + cached, output: usage.output_tokens };
}

const total = (usage: Usage | undefined) => usage && { input: usage.input, output: usage.output };

class AllText implements TextSink {
  raw = '';
  text(_channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.raw += Buffer.from(bytes.subarray(start, end)).toString('latin1');
  }
}

describe('whole answers', () => {
  for (const { name, endpoint, text } of answers) {
    const expected = told(text);
    const bytes = Buffer.from(text);
    const { model } = JSON.parse(text) as { model?: string };

    it(`${name}: the provider's own numbers, in one piece and byte by byte`, () => {
      const whole = reader(endpoint);
      const wholeText = new AllText();
      whole.push(bytes, wholeText);
      assert.deepEqual(total(whole.usage), expected);
      assert.equal(whole.responseModel, model);
      const cut = reader(endpoint);
      const cutText = new AllText();
      for (let at = 0; at < bytes.length; at++) cut.push(bytes.subarray(at, at + 1), cutText);
      assert.deepEqual(cut.usage, whole.usage);
      assert.equal(cut.responseModel, model);
      assert.equal(cutText.raw, wholeText.raw);
    });
  }

  it('the same in two pieces, cut at every byte', () => {
    for (const { endpoint, text } of answers.filter((answer) => answer.text.length < 1_500)) {
      const bytes = Buffer.from(text);
      for (let at = 1; at < bytes.length; at++) {
        const cut = reader(endpoint);
        for (const piece of [bytes.subarray(0, at), bytes.subarray(at)]) {
          const given = Buffer.from(piece);
          cut.push(given, NO_TEXT);
          // As in use, where the buffer of a piece is read into again.
          given.fill(0xdb);
        }
        assert.deepEqual(total(cut.usage), told(text));
        assert.equal(cut.responseModel, (JSON.parse(text) as { model?: string }).model);
      }
    }
  });

  it('gives the text of content, reasoning and tools', () => {
    const textOf = (name: string) => {
      const answer = answers.find((one) => one.name === name);
      assert.ok(answer);
      const sink = new AllText();
      reader(answer.endpoint).push(Buffer.from(answer.text), sink);
      return sink.raw;
    };
    assert.match(textOf('deepseek-reasoning'), /strawberry[\s\S]*strawberry/);
    assert.match(textOf('mistral-tool-call'), /weather\{\\"location\\"/);
    assert.match(textOf('anthropic-tool-no-args'), /updateIssueList/);
    assert.match(textOf('anthropic-clear-thinking.1'), /185/);
    assert.match(textOf('openai-file-search-tool.1'), /embedding/);
  });

  it('says nothing of an answer that is broken off or no JSON', () => {
    for (const endpoint of [chat, completions, embeddings, responses, messages]) {
      for (const text of ['', '<html>', '{"usage":{"prompt_tokens":', 'null', '[1]']) {
        const whole = reader(endpoint);
        whole.push(Buffer.from(text), NO_TEXT);
        assert.equal(whole.usage, undefined);
      }
    }
  });
});
