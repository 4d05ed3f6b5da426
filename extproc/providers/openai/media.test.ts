import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../errors.ts';
import { newFormScanner } from '../../json/form.ts';
import { newScanner } from '../../json/json-tokenizer.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import { splice } from '../../json/splice.ts';
import type { ClientApi, RequestFacts, ResponseAdapter } from '../adapter.ts';
import { imageEdits } from './image-edits.ts';
import { imageGenerations } from './images.ts';
import { moderations } from './moderations.ts';
import { rerank } from './rerank.ts';
import { speech } from './speech.ts';
import { transcripts } from './transcripts.ts';

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

describe('an upload', () => {
  function scannedForm(api: ClientApi, parts: Readonly<Record<string, string | Uint8Array>>): ScannedBody {
    const scanner = newFormScanner(api.form!, 'multipart/form-data; boundary=XX');
    assert.ok(!isFailure(scanner));
    for (const [name, content] of Object.entries(parts)) {
      const file = typeof content === 'string' ? '' : '; filename="f"';
      scanner.push(Buffer.from(`--XX\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n`));
      scanner.push(Buffer.from(content));
      scanner.push(Buffer.from('\r\n'));
    }
    scanner.push(Buffer.from('--XX--\r\n'));
    const body = scanner.finish();
    assert.ok(!isFailure(body));
    return body;
  }

  function formFacts(api: ClientApi, parts: Readonly<Record<string, string | Uint8Array>>): RequestFacts {
    const facts = api.readRequest(scannedForm(api, parts), address);
    assert.ok(!isFailure(facts), isFailure(facts) ? facts.message : '');
    return facts;
  }

  const [transcriptions] = transcripts;

  it('of audio holds tokens by its size', () => {
    const facts = formFacts(transcriptions!, { model: 'whisper-1', prompt: 'Hi', file: new Uint8Array(400_000) });
    assert.deepEqual([facts.model, facts.mediaTokens, facts.textBytes, facts.stream], ['whisper-1', 1_000, 2, false]);
    assert.equal(
      formFacts(transcriptions!, { model: 'm', stream: 'true', file: new Uint8Array(9) }).hiddenOutput,
      true,
    );
  });

  it('of images counts each of them', () => {
    const image = new Uint8Array(9);
    const facts = formFacts(imageEdits, {
      model: 'm',
      prompt: 'Hi',
      'image[]': image,
      mask: image,
      n: '2',
      quality: 'low',
    });
    assert.deepEqual([facts.choices, facts.mediaTokens, facts.askedOutputTokens], [2, 3_072, 408]);
  });

  it('without a model or with an invalid number is refused', () => {
    for (const [parts, code] of [
      [{ prompt: 'Hi' }, 'missing_model'],
      [{ model: 'm', n: 'many' }, 'invalid_value'],
      [{ model: 'm', stream: 'maybe' }, 'invalid_value'],
    ] as const) {
      const facts = imageEdits.readRequest(scannedForm(imageEdits, parts), address);
      assert.ok(isFailure(facts) && facts.code === code);
    }
  });

  it('changes nothing but the model', () => {
    const body = scannedForm(imageEdits, { prompt: 'model', model: 'mine', n: '1' });
    const edited = splice(
      body.bytes,
      imageEdits.edit(body, { model: 'gpt-image-1', outputTokens: 5 }, { schema: 'OpenAI' }),
    );
    const before = Buffer.concat(body.bytes).toString();
    assert.equal(Buffer.concat(edited).toString(), before.replace('mine', 'gpt-image-1'));
  });

  it('of audio costs what the provider reports, in tokens or in seconds', () => {
    const usageOf = (answer: string | object) => {
      const { unary } = transcriptions!.response!(formFacts(transcriptions!, { model: 'm' }), {
        hideUsage: false,
        model: 'm',
      });
      const seen: string[] = [];
      const bytes = Buffer.from(typeof answer === 'string' ? answer : JSON.stringify(answer));
      unary.push(bytes, {
        text: (_channel, of, start, end) => seen.push(Buffer.from(of.subarray(start, end)).toString()),
      });
      return [unary.usage?.input, unary.usage?.audioInput, unary.usage?.output, unary.broken, seen.join('')];
    };
    const details = { text_tokens: 2, audio_tokens: 12 };
    const tokens = {
      type: 'tokens',
      input_tokens: 14,
      input_token_details: details,
      output_tokens: 5,
      total_tokens: 19,
    };
    assert.deepEqual(usageOf({ text: 'Hi', usage: tokens }), [14, 12, 5, false, 'Hi']);
    assert.deepEqual(usageOf({ text: 'Hi', usage: { type: 'duration', seconds: 2.5 } }), [30, 30, 0, false, 'Hi']);
    assert.deepEqual(usageOf('data, she said'), [undefined, undefined, undefined, false, 'data, she said']);
  });

  it('of audio costs what the last event of a stream reports', () => {
    const { reader } = transcriptions!.response!(formFacts(transcriptions!, { model: 'm', stream: 'true' }), {
      hideUsage: false,
      model: 'm',
    });
    const usage = { type: 'tokens', input_tokens: 14, output_tokens: 5, total_tokens: 19 };
    const events = [
      { type: 'transcript.text.delta', delta: 'Hi' },
      { type: 'transcript.text.done', text: 'Hi', usage },
    ];
    for (const event of events) {
      const bytes = Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
      reader.read(bytes, 0, bytes.length, sink);
    }
    assert.deepEqual([reader.usage?.input, reader.usage?.output, reader.usageFinal], [14, 5, true]);
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
