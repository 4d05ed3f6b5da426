/** The official clients, unmodified, for images, audio, moderations, and Cohere's models. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { anthropicClient, errorOf, openaiClient, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { AUDIO, type MediaProvider, PNG, startMediaProvider } from './support/media-provider.ts';
import { backend, PROVIDER_KEY, quotaPolicy, route, teamQuota } from './support/resources.ts';

let provider: MediaProvider;
let gateway: Gateway;
let openai: OpenAI;

const free = { currency: 'USD', perMillionTokens: { input: '0', output: '0' } };

before(async () => {
  provider = await startMediaProvider();
  const { port } = provider;
  gateway = await startGateway([
    backend('openai', {
      port,
      models: [
        { name: 'gpt-image-1', prices: { currency: 'USD', perMillionTokens: { input: '5', output: '40' } } },
        { name: 'dall-e-3', prices: { ...free, perRequest: '0.04' } },
      ],
    }),
    backend('cohere', {
      schema: 'Cohere',
      port,
      models: [{ name: 'rerank-v3.5', prices: { ...free, perRequest: '0.002' } }],
    }),
    route('media', [
      { name: 'image', models: ['image'], backendRefs: [{ name: 'openai', model: 'gpt-image-1' }] },
      { name: 'priced', models: ['dall-e-3'], backendRefs: [{ name: 'openai' }] },
      { name: 'audio', models: ['audio'], backendRefs: [{ name: 'openai', model: 'whisper-1' }] },
      { name: 'moderation', models: ['omni-*'], backendRefs: [{ name: 'openai' }] },
      { name: 'ranker', models: ['ranker'], backendRefs: [{ name: 'openai', model: 'reranker' }] },
      { name: 'cohere', models: ['cohere-*'], backendRefs: [{ name: 'cohere', model: 'rerank-v3.5' }] },
    ]),
    route('metered', [{ name: 'metered', models: ['metered'], backendRefs: [{ name: 'openai' }] }]),
    quotaPolicy('few', 'metered', [teamQuota('few', 'OutputTokens', 1_000)]),
  ]);
  openai = openaiClient(gateway.url);
});
after(async () => {
  await provider?.stop();
  await gateway?.stop();
});
beforeEach(() => {
  provider.seen.length = 0;
});

function lastSeen() {
  const seen = provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

const png = () => toFile(PNG, 'image.png', { type: 'image/png' });
const wav = () => toFile(Buffer.alloc(8_000), 'speech.wav', { type: 'audio/wav' });

describe('the official OpenAI client', () => {
  it('gets images, charged by their tokens', async () => {
    const { result, record } = await gateway.recordOf(() =>
      openai.images.generate({ model: 'image', prompt: 'A cat', quality: 'low' }),
    );
    assert.equal(result.data?.[0]?.b64_json, PNG.toString('base64'));
    assert.deepEqual([record.inputTokens, record.outputTokens, record.source], [12, 272, 'provider']);
    assert.equal(JSON.parse(lastSeen().body.toString()).model, 'gpt-image-1');
    assert.equal(lastSeen().authorization, `Bearer ${PROVIDER_KEY}`);
  });

  it('gets a stream of images with long events', async () => {
    const { result, record } = await gateway.recordOf(async () =>
      Array.fromAsync(await openai.images.generate({ model: 'image', prompt: 'A cat', stream: true })),
    );
    assert.deepEqual(
      result.map(({ type }) => type),
      ['image_generation.partial_image', 'image_generation.completed'],
    );
    assert.deepEqual([record.outputTokens, record.source], [272, 'provider']);
  });

  it('edits images, and its form reaches the provider with another model', async () => {
    const { result, record } = await gateway.recordOf(async () =>
      openai.images.edit({ model: 'image', prompt: 'A hat', image: [await png(), await png()], n: 2 }),
    );
    assert.equal(result.data?.length, 2);
    assert.deepEqual([record.outputTokens, record.source], [272, 'provider']);
    const { contentType, body } = lastSeen();
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
    assert.deepEqual(
      [form.get('model'), form.get('prompt'), form.getAll('image[]').length],
      ['gpt-image-1', 'A hat', 2],
    );
  });

  it('speaks, whatever the audio begins with', async () => {
    const { result, record } = await gateway.recordOf(async () => {
      const speech = await openai.audio.speech.create({ model: 'audio', input: 'Hello there.', voice: 'alloy' });
      return Buffer.from(await speech.arrayBuffer());
    });
    assert.ok(result.equals(AUDIO));
    assert.equal(record.outputTokens, Math.ceil(1.4 * '"Hello there."'.length));
  });

  it('transcribes and translates, by tokens and by seconds', async () => {
    const tokens = await gateway.recordOf(async () =>
      openai.audio.transcriptions.create({ model: 'audio', file: await wav() }),
    );
    assert.equal(tokens.result.text, 'Hello there.');
    assert.deepEqual(
      [tokens.record.inputTokens, tokens.record.outputTokens, tokens.record.source],
      [30, 4, 'provider'],
    );
    const seconds = await gateway.recordOf(async () =>
      openai.audio.translations.create({ model: 'audio', file: await wav() }),
    );
    assert.deepEqual([seconds.record.inputTokens, seconds.record.outputTokens], [30, 3]);
  });

  it('gets a stream of a transcript', async () => {
    const { result, record } = await gateway.recordOf(async () =>
      Array.fromAsync(await openai.audio.transcriptions.create({ model: 'audio', file: await wav(), stream: true })),
    );
    assert.equal(result.length, 2);
    assert.deepEqual([record.inputTokens, record.source], [30, 'provider']);
  });

  it('moderates without a model, free of tokens', async () => {
    const { result, record } = await gateway.recordOf(() => openai.moderations.create({ input: 'Hello' }));
    assert.equal(result.results[0]?.flagged, false);
    assert.equal(record.inputTokens, undefined);
  });

  it('is refused images that its budget does not cover', async () => {
    const red = openaiClient(gateway.url, { 'x-team': 'red' });
    const dear = await errorOf(red.images.generate({ model: 'metered', prompt: 'A cat', quality: 'high' }));
    assert.ok(dear instanceof OpenAI.RateLimitError, String(dear));
    await red.images.generate({ model: 'metered', prompt: 'A cat', quality: 'low' });
  });

  it('pays for each image where images have a price', async () => {
    const { record } = await gateway.recordOf(async () =>
      openai.images.edit({ model: 'dall-e-3', prompt: 'A hat', image: await png(), n: 2 }),
    );
    assert.equal(costOf(record), '0.08');
  });
});

describe('Cohere', () => {
  it('answers chat completions, whole and streamed, by what it bills', async () => {
    const request = { model: 'cohere-chat', messages: say('Hello') };
    const whole = await openai.chat.completions.create(request);
    assert.equal(whole.choices[0]?.message.content, 'Hello there.');
    assert.deepEqual([whole.usage?.prompt_tokens, whole.usage?.completion_tokens], [11, 2]);
    const { result, record } = await gateway.recordOf(async () =>
      Array.fromAsync(await openai.chat.completions.create({ ...request, stream: true })),
    );
    assert.equal(result.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), 'Hello there.');
    assert.deepEqual([record.inputTokens, record.outputTokens, record.source], [11, 2, 'provider']);
    assert.equal(lastSeen().path, '/v2/chat');
    assert.equal(lastSeen().authorization, `Bearer ${PROVIDER_KEY}`);
  });

  it("answers Anthropic's client, whole and streamed", async () => {
    const { messages } = anthropicClient(gateway.url);
    const request = { model: 'cohere-chat', max_tokens: 50, messages: say('Hello') };
    const whole = await messages.create(request);
    const streamed = await messages.stream(request).finalMessage();
    for (const { content, usage, stop_reason: reason } of [whole, streamed]) {
      assert.deepEqual(
        content.map((block) => block.type === 'text' && block.text),
        ['Hello there.'],
      );
      assert.deepEqual([usage.input_tokens, usage.output_tokens, reason], [11, 2, 'end_turn']);
    }
  });

  it('answers the client of responses, whole and streamed', async () => {
    const request = { model: 'cohere-chat', input: 'Hello' };
    const whole = await openai.responses.create(request);
    const streamed = await openai.responses.stream(request).finalResponse();
    for (const { output_text: text, usage, status } of [whole, streamed]) {
      assert.deepEqual([text, usage?.input_tokens, usage?.output_tokens, status], ['Hello there.', 11, 2, 'completed']);
    }
  });

  it('embeds, as the official client asks for it', async () => {
    const { result, record } = await gateway.recordOf(() =>
      openai.embeddings.create({ model: 'cohere-embed', input: 'Hello' }),
    );
    assert.deepEqual([...result.data[0]!.embedding], [0.5, -0.25]);
    assert.deepEqual([record.inputTokens, record.source], [5, 'provider']);
  });

  it('ranks, and its search units are paid', async () => {
    const body = { model: 'cohere-rank', query: 'capital', documents: ['Graz', 'Vienna'], return_documents: true };
    const { result, record } = await gateway.recordOf(() => openai.post<Ranked>('/rerank', { body }));
    assert.deepEqual(result.results, [{ index: 1, relevance_score: 0.9, document: { text: 'Vienna' } }]);
    assert.equal(costOf(record), '0.004');
    // The text is counted, and the client gets the same number.
    assert.ok(record.inputTokens! > 0 && record.inputTokens === result.usage.total_tokens);
  });
});

describe('a server of the rerank API', () => {
  it('gets the request as it is, and is charged by its tokens', async () => {
    const body = { model: 'ranker', query: 'capital', documents: ['Graz', 'Vienna'] };
    const { result, record } = await gateway.recordOf(() => openai.post<Ranked>('/rerank', { body }));
    assert.equal(result.results.length, 1);
    assert.deepEqual([record.inputTokens, record.source], [21, 'provider']);
    assert.equal(JSON.parse(lastSeen().body.toString()).model, 'reranker');
  });
});

function costOf({ line }: { readonly line: string }): unknown {
  return JSON.parse(line).cost;
}

interface Ranked {
  readonly results: readonly object[];
  readonly usage: { readonly total_tokens: number };
}
