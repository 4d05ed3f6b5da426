import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../errors.ts';
import { newScanner } from '../../json/json-tokenizer.ts';
import type { ClientApi, RequestFacts, ResponseAdapter } from '../adapter.ts';
import { imageGenerations } from './images.ts';
import { moderations } from './moderations.ts';
import { rerank } from './rerank.ts';
import { speech } from './speech.ts';

const sink = { text() {} };
const address = { path: '/', query: new URLSearchParams() };

function read(api: ClientApi, body: object): RequestFacts {
  const scanner = newScanner(api.shape);
  assert.equal(scanner.push(Buffer.from(JSON.stringify(body))), undefined);
  const scanned = scanner.finish();
  assert.ok(!isFailure(scanned));
  const facts = api.readRequest(scanned, address);
  assert.ok(!isFailure(facts), isFailure(facts) ? facts.message : '');
  return facts;
}

function adapterOf(api: ClientApi, body: object): ResponseAdapter {
  return api.response!(read(api, body), { hideUsage: false, model: 'm' });
}

function unaryOf(api: ClientApi, body: object, answer: object) {
  const { unary } = adapterOf(api, body);
  unary.push(Buffer.from(JSON.stringify(answer)), sink);
  return unary;
}

describe('an image request', () => {
  const of = (more: object) => read(imageGenerations, { model: 'gpt-image-1', prompt: 'A cat', ...more });

  it('holds what its images may cost, and none less', () => {
    const held = (more: object) => {
      const { choices, askedOutputTokens, leastOutputTokens } = of(more);
      assert.equal(askedOutputTokens, leastOutputTokens);
      return choices * askedOutputTokens!;
    };
    assert.equal(held({}), 6_240);
    assert.equal(held({ n: 3, quality: 'low' }), 3 * 408);
    assert.equal(held({ quality: 'medium', partial_images: 2, stream: true }), 1_584 + 200);
  });

  it('counts a price for each image', () => {
    assert.equal(of({ n: 4 }).priceUnits, 4);
    const made = unaryOf(imageGenerations, { model: 'm', n: 4 }, { data: [{ url: 'a' }, { url: 'b' }] });
    assert.equal(made.priceUnits, 2);
  });

  it('costs what the provider reports, all output as images unless it says otherwise', () => {
    const usage = { input_tokens: 9, output_tokens: 272, total_tokens: 281, input_tokens_details: { image_tokens: 4 } };
    const told = unaryOf(imageGenerations, { model: 'm' }, { data: [{ b64_json: 'AAAA' }], usage }).usage;
    assert.deepEqual([told?.input, told?.imageInput, told?.output, told?.imageOutput], [9, 4, 272, 272]);
    const details = { image_tokens: 200, text_tokens: 72 };
    const mixed = unaryOf(
      imageGenerations,
      { model: 'm' },
      { usage: { ...usage, output_tokens_details: details } },
    ).usage;
    assert.equal(mixed?.imageOutput, 200);
  });

  it('costs what it holds where the provider reports no tokens', () => {
    const body = { model: 'dall-e-3', n: 2, quality: 'standard' };
    assert.equal(unaryOf(imageGenerations, body, { data: [{ url: 'a' }, { url: 'b' }] }).usage?.output, 2 * 1_584);
  });
});

describe('a stream of images', () => {
  it('passes, and its last event has the usage, however long its events are', () => {
    const image = 'A'.repeat(300_000);
    const partial = { type: 'image_generation.partial_image', b64_json: image, partial_image_index: 0 };
    const usage = { input_tokens: 9, output_tokens: 372, total_tokens: 381 };
    const last = { type: 'image_generation.completed', b64_json: image, usage };
    const { reader, writer } = adapterOf(imageGenerations, { model: 'm', stream: true });
    for (const event of [partial, last]) {
      assert.equal(reader.state, 'open');
      const bytes = Buffer.from(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      for (let at = 0; at < bytes.length; at += 70_000) {
        const end = Math.min(at + 70_000, bytes.length);
        const facts = reader.readPart(bytes, at, end, end === bytes.length, sink);
        assert.equal(writer.write(bytes, at, end, facts), 'pass');
      }
    }
    assert.deepEqual([reader.state, reader.usageFinal, reader.usage?.imageOutput], ['finished', true, 372]);
  });

  it('fails where the provider says so', () => {
    const { reader } = adapterOf(imageGenerations, { model: 'm', stream: true });
    const bytes = Buffer.from(`data: ${JSON.stringify({ type: 'error', error: { message: 'no' } })}\n\n`);
    reader.read(bytes, 0, bytes.length, sink);
    assert.deepEqual([reader.state, reader.usageFinal], ['failed', false]);
  });
});

describe('a speech request', () => {
  const input = 'x'.repeat(100);

  it('holds more for slow speech', () => {
    const held = (more: object) => read(speech, { model: 'tts', input, ...more }).askedOutputTokens!;
    assert.ok(held({}) > 200 && held({ speed: 0.5 }) > 1.9 * held({}) && held({ speed: 0 }) <= 4.1 * held({}));
  });

  it('costs what the text takes to speak, because audio has no usage', () => {
    const { unary, anyBytes } = adapterOf(speech, { model: 'tts', input });
    unary.push(Buffer.from('data: not an event'), sink);
    assert.deepEqual([unary.usage?.output, unary.usage?.audioOutput, unary.broken, anyBytes], [143, 143, false, true]);
  });

  it('costs what a stream of events reports', () => {
    const { reader } = adapterOf(speech, { model: 'tts', input, stream_format: 'sse' });
    const usage = { input_tokens: 20, output_tokens: 150, total_tokens: 170 };
    for (const event of [
      { type: 'speech.audio.delta', audio: 'AAAA' },
      { type: 'speech.audio.done', usage },
    ]) {
      const bytes = Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
      reader.read(bytes, 0, bytes.length, sink);
    }
    assert.deepEqual([reader.usage?.input, reader.usage?.audioOutput, reader.state], [20, 150, 'finished']);
  });
});

describe('a reranking', () => {
  it('counts the query with each document', () => {
    const facts = read(rerank, { model: 'm', query: 'q'.repeat(50), documents: ['a', { text: 'b' }, 'c'] });
    assert.equal(facts.textBytes, 53);
    assert.ok(facts.overheadTokens >= 100);
  });

  it('costs the total where a server reports nothing else', () => {
    const body = { model: 'm', query: 'q', documents: ['a'] };
    assert.equal(unaryOf(rerank, body, { usage: { total_tokens: 15 }, results: [] }).usage?.input, 15);
    const meta = { billed_units: { search_units: 2 } };
    assert.equal(unaryOf(rerank, body, { meta }).priceUnits, 2);
    assert.equal(unaryOf(rerank, body, {}).usage, undefined);
  });
});

describe('a moderation', () => {
  it('has a default model, and costs no tokens', () => {
    assert.equal(read(moderations, { input: 'Hi' }).model, 'omni-moderation-latest');
    assert.equal(read(moderations, { input: ['Hi'], model: 'm' }).model, 'm');
    assert.equal(moderations.kind, 'free');
  });
});
