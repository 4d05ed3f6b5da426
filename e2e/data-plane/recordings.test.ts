/**
 * Replays provider responses (fixtures, and recordings of real traffic if present) through the real
 * gateway: bytes arrive unchanged, and the charge is the provider's own number.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { countTokens as countOldTokens } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { reportedUsage } from '../../fixtures/exchange.ts';
import { fixtures } from '../../fixtures/fixtures.ts';
import { noRecordings, recordings } from '../../fixtures/recordings.ts';
import { call } from './support/client.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Recording, recording, visibleTexts, withoutUsage } from './support/recordings.ts';
import { compress, type ReplayProvider, startReplayProvider } from './support/replay-provider.ts';
import { backend, quotaPolicy, route } from './support/resources.ts';

const recorded = recordings();
const all = [...fixtures, ...recorded].map(recording);
/** OpenAI's own text responses, replayed without usage. */
const untold = all
  .filter(({ name, status }) => /^(openai\/|openai-compatible\/openai-|chat-|completion-)/.test(name) && status === 200)
  .filter(({ name }) => !name.includes('token-ids'))
  .filter((recording) => /\/(chat\/)?completions$/.test(recording.path) && visibleTexts(recording).join('').length > 20)
  .map(withoutUsage);
/** These models generate output that no response shows. */
const hasHiddenOutput = ({ request }: Recording) => /^(gpt-5|o\d)/.test(String(request['model']));
let provider: ReplayProvider;
let gateway: Gateway;

before(async () => {
  provider = await startReplayProvider([...all, ...untold]);
  const { port } = provider;
  gateway = await startGateway([
    backend('openai', { port }),
    backend('anthropic', { schema: 'Anthropic', port }),
    backend('tgi', { schema: 'HuggingFaceTGI', port }),
    backend('gemini', { schema: 'GoogleGemini', port }),
    route('all', [
      { name: 'all', models: ['*'], backendRefs: ['openai', 'anthropic', 'tgi', 'gemini'].map((name) => ({ name })) },
    ]),
    quotaPolicy('all', 'all', [
      {
        name: 'tokens',
        limit: { type: 'TotalTokens', amount: 1_000_000_000 },
        window: { type: 'Lifetime' },
        unbounded: 'Allow',
      },
    ]),
  ]);
});
after(async () => {
  await provider?.stop();
  await gateway?.stop();
});

function replay(
  recording: Recording,
  headers: Readonly<Record<string, string>> = {},
  request: unknown = recording.request,
) {
  return gateway.recordOf(() =>
    call(`${gateway.url}${recording.path}`, request, { headers: { 'x-recording': recording.name, ...headers } }),
  );
}

it('there are recordings of all providers', { skip: noRecordings }, () => {
  assert.ok(recorded.length >= 45, `${recorded.length}`);
  assert.ok(recorded.filter((one) => reportedUsage(one) !== undefined).length >= 40);
});

describe('a recorded response passes unchanged', () => {
  for (const recording of all) {
    it(recording.name, async () => {
      const { result, record } = await replay(recording);
      assert.equal(result.status, recording.status, result.text.slice(0, 300));
      assert.ok(result.complete);
      assert.equal(result.text, recording.answer.toString());
      assert.equal(record.status, recording.status);
      if (recording.usage !== undefined) {
        assert.deepEqual({ input: record.inputTokens, output: record.outputTokens ?? 0 }, recording.usage);
        assert.equal(record.source, 'provider');
      } else if (recording.status === 200) {
        // Anthropic reports the input at the beginning of a stream.
        assert.equal(record.source, recording.name === 'messages-error-midway.stream' ? 'mixed' : 'estimated');
      } else {
        assert.equal((record.inputTokens ?? 0) + (record.outputTokens ?? 0), 0);
      }
    });
  }
});

describe('compression', () => {
  for (const encoding of ['gzip', 'br', 'zstd']) {
    it(`in ${encoding} does not change responses and counts`, async () => {
      for (const recording of all.filter(({ status }) => status === 200)) {
        const { result, record } = await replay(recording, { 'x-encoding': encoding });
        assert.equal(result.status, 200);
        // A unary response passes unchanged. A stream may be decompressed, because it might have to
        // be cut.
        const packed = result.headers['content-encoding'] !== undefined;
        assert.ok(packed || recording.stream, recording.name);
        const expected = packed ? compress(encoding, recording.answer) : recording.answer;
        assert.ok(
          result.bytes.equals(expected),
          `${recording.name}: ${result.bytes.length} bytes for ${expected.length}`,
        );
        if (recording.usage !== undefined) {
          const counted = { input: record.inputTokens, output: record.outputTokens ?? 0 };
          assert.deepEqual(counted, recording.usage, recording.name);
        }
      }
    });
  }
});

describe('usage that the client did not request', () => {
  for (const name of ['chat-text.stream', 'xai-reasoning.stream']) {
    it(`is removed from the response and charged (${name})`, async () => {
      const recording = all.find((one) => one.name === name);
      assert.ok(recording);
      const { stream_options: _, ...request } = recording.request;
      const { result, record } = await replay(recording, {}, request);
      // A request for usage also puts `"usage":null` into each of OpenAI's chunks, which a client
      // that did not request usage would not get.
      const events = recording.answer.toString().replaceAll(',"usage":null', '').split('\n\n');
      // xAI reports usage unasked, with numbers that a request for usage does not add.
      const own = name.startsWith('xai');
      const expected = events.filter((event) => own || !event.includes('"choices":[],'));
      assert.equal(expected.length, events.length - (own ? 0 : 1));
      assert.equal(result.text, expected.join('\n\n'));
      assert.deepEqual({ input: record.inputTokens, output: record.outputTokens }, recording.usage);
    });
  }
});

describe('a response without usage', () => {
  for (const recording of untold) {
    const hidden = hasHiddenOutput(recording);
    it(`is estimated ${hidden ? 'above' : 'within 1% of'} its visible text (${recording.name})`, async () => {
      const { record } = await replay(recording);
      const count = String(recording.request['model']).startsWith('gpt-3.5') ? countOldTokens : countTokens;
      const truth = visibleTexts(recording).reduce((sum, text) => sum + count(text), 0);
      assert.ok(truth >= 5);
      assert.equal(record.source, 'estimated');
      if (hidden) {
        assert.ok((record.outputTokens ?? 0) > truth, `${record.outputTokens} for ${truth}`);
        return;
      }
      const error = Math.abs((record.outputTokens ?? 0) - truth);
      assert.ok(error <= Math.max(1, truth / 100), `${record.outputTokens} for ${truth}`);
    });
  }

  it('there are recordings of all kinds', () => {
    assert.ok(untold.length >= 10, `${untold.length}`);
  });
});
