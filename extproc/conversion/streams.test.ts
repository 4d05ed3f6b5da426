/**
 * Converts the exchanges with each provider (fixtures, and recordings where present), and reads
 * what comes out with the official clients.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderApi } from '../../contract/policy.ts';
import { reportedUsage } from '../../fixtures/exchange.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { ResponseAdapter } from '../providers/adapter.ts';
import { eventsOf, exchanges, type ReadExchange } from '../providers/testing/recordings.ts';
import { textUsage } from '../usage.ts';
import { convertedCase, convertedDocument, convertedStream } from './testing.ts';
import { readByAnthropic, readByGoogle, readByOpenAi, readByResponses } from './testing-clients.ts';
import { sentSoFar } from './testing-streams.ts';

const requests = {
  chat: { model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream_options: { include_usage: true } },
  messages: { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] },
  responses: { model: 'm', input: 'Hi' },
  content: { contents: [{ parts: [{ text: 'Hi' }] }] },
};

type ClientName = keyof typeof requests;

/** The adapter of a client that gets answers of another API. */
function newAdapter({ client, providerApi }: Pairing, stream: boolean): ResponseAdapter {
  // Google's clients ask for a stream by the path.
  const api = client === 'content' && stream ? 'content-stream' : client;
  const body = JSON.stringify({ ...requests[client], ...(client !== 'content' && { stream }) });
  const made = convertedCase({ client: api, providerApi, body });
  assert.ok(typeof made !== 'string', String(made));
  return made.newAdapter();
}

interface Pairing {
  readonly client: ClientName;
  readonly providerApi: ProviderApi;
}

/** Which clients get the answers of an API; OpenAI's own servers serve responses themselves. */
const pairings: Readonly<Record<string, readonly Pairing[]>> = {
  '/v1/messages': [
    { client: 'chat', providerApi: 'Anthropic' },
    { client: 'responses', providerApi: 'Anthropic' },
    { client: 'content', providerApi: 'Anthropic' },
  ],
  '/v1/chat/completions': [
    { client: 'messages', providerApi: 'OpenAI' },
    { client: 'responses', providerApi: 'HuggingFaceTGI' },
    { client: 'content', providerApi: 'OpenAI' },
  ],
  gemini: [
    { client: 'chat', providerApi: 'GoogleGemini' },
    { client: 'messages', providerApi: 'GoogleGemini' },
    { client: 'responses', providerApi: 'GoogleGemini' },
  ],
};
const allPairings = Object.values(pairings).flat();

interface Converted extends Pairing {
  readonly name: string;
  readonly exchange: ReadExchange;
  readonly bytes: Buffer;
}

const converted: readonly Converted[] = exchanges().flatMap((exchange) => {
  // The clients ask for one choice.
  const usable = exchange.status === 200 && !/"n":\s*[2-9]/.test(exchange.request ?? '');
  return (usable ? (pairings[exchange.path.startsWith('/v1beta/') ? 'gemini' : exchange.path] ?? []) : []).map(
    (pairing) => {
      const name = `${exchange.name} for ${pairing.client}`;
      return { ...pairing, name, exchange, bytes: Buffer.from(exchange.answer) };
    },
  );
});
const streams = converted.filter(({ exchange }) => exchange.stream);
/** Streams that the provider ends with an error. */
const failing = (name: string) => name.includes('error');

const readers = { chat: readByOpenAi, messages: readByAnthropic, responses: readByResponses, content: readByGoogle };
const nativeReaders: Readonly<Partial<Record<ProviderApi, typeof readByOpenAi>>> = {
  Anthropic: readByAnthropic,
  GoogleGemini: readByGoogle,
};
/** How a stream ends in each API. */
const endings = {
  chat: /data: \[DONE\]\n\n$/,
  messages: /event: (message_stop|error)\ndata: .*\n\n$/,
  content: /data: (\{"error":|.*"finishReason":).*\r\n\r\n$/,
  responses: /event: response\.(completed|incomplete|failed)\ndata: .*\n\n$/,
};

function wholeOf(one: Converted): string {
  return convertedStream(newAdapter(one, true), [one.bytes]);
}

/** Places of long streams at which the official clients read what came before. */
const MOST_ENDS = fuzzRuns(10).numRuns;

/** Returns the ends of events: all of a short stream, and at even distances in a long one. */
function endsOf(bytes: Buffer): readonly number[] {
  const ends = eventsOf(bytes).map(([, end]) => end);
  const step = Math.ceil(ends.length / MOST_ENDS);
  return ends.filter((_, index) => index % step === 0 || index >= ends.length - MOST_ENDS / 4);
}

describe('a converted answer', () => {
  for (const one of converted.filter(({ name }) => !failing(name))) {
    it(`reads as the original does: ${one.name}`, async () => {
      const { client, exchange, bytes } = one;
      const { stream } = exchange;
      const body = stream ? wholeOf(one) : convertedDocument(newAdapter(one, false), bytes);
      const readNative = nativeReaders[one.providerApi] ?? readByOpenAi;
      const [answer, original] = await Promise.all([
        readers[client](body, stream),
        readNative(bytes.toString(), stream).catch(() => undefined),
      ]);
      if (original !== undefined) {
        assert.deepEqual([answer.text, answer.calls], [original.text, original.calls]);
      }
      const usage = reportedUsage(exchange);
      assert.deepEqual([answer.input, answer.output], [usage?.input ?? 0, usage?.output ?? 0]);
    });
  }
});

describe('a converted stream', () => {
  for (const one of streams) {
    it(`does not depend on how its bytes arrive: ${one.name}`, () => {
      const { bytes } = one;
      const whole = wholeOf(one);
      fc.assert(
        fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (places) => {
          const cuts = [0, ...places.sort((a, b) => a - b), bytes.length];
          const pieces = cuts.slice(1).map((end, index) => Buffer.from(bytes.subarray(cuts[index], end)));
          assert.equal(convertedStream(newAdapter(one, true), pieces), whole);
        }),
        fuzzRuns(20),
      );
      const single = [...bytes].map((byte) => Buffer.from([byte]));
      assert.equal(convertedStream(newAdapter(one, true), single), whole);
    });

    it(`ends properly wherever the provider ends it: ${one.name}`, async () => {
      const { client, bytes } = one;
      for (const end of endsOf(bytes)) {
        const body = convertedStream(newAdapter(one, true), [bytes.subarray(0, end)]);
        assert.match(body, endings[client]);
        const failed = /^(event: error|data: \{"error":)/m.test(body);
        const answer = await readers[client](body, true).catch((error: unknown) => error);
        assert.equal(answer instanceof Error, failed, String(answer));
        const isCut = /before the response was complete/.test(String(answer));
        assert.ok(!failed || isCut || failing(one.name), String(answer));
      }
    });

    it(`ends properly wherever a budget ends it: ${one.name}`, async () => {
      const { client, bytes } = one;
      for (const end of endsOf(bytes)) {
        const adapter = newAdapter(one, true);
        const sent = sentSoFar(adapter, bytes.subarray(0, end));
        const usage = textUsage(3, 5);
        const body = sent + Buffer.from(adapter.writer.truncate(usage)).toString();
        const answer = await readers[client](body, true).catch((error: unknown) => error);
        assert.ok(!(answer instanceof Error) || failing(one.name), String(answer));
        assert.equal(Buffer.from(adapter.writer.truncate(usage)).toString(), '', 'ends once');
      }
    });
  }
});

describe('a hostile provider', () => {
  for (const one of streams) {
    it(`cannot break the client's stream by the order of its events: ${one.name}`, async () => {
      const { client, bytes } = one;
      const events = eventsOf(bytes).map(([start, end]) => bytes.subarray(start, end));
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(events.length - 1), { maxLength: 2 * events.length }), async (order) => {
          const given = Buffer.concat(order.map((place) => events[place]!));
          const body = convertedStream(newAdapter(one, true), [given]);
          const answer = await readers[client](body, true).catch((error: unknown) => error);
          if (answer instanceof Error) {
            assert.ok(/unreadable_answer|provider|error/i.test(String(answer)), String(answer));
          }
        }),
        fuzzRuns(15),
      );
    });
  }

  it('cannot break a stream by what its events contain', () => {
    fc.assert(
      fc.property(fc.constantFrom(...allPairings), fc.array(fc.jsonValue()), (one, values) => {
        const given = values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join('');
        const body = convertedStream(newAdapter(one, true), [Buffer.from(given)]);
        for (const line of body.split('\n').filter((each) => each.startsWith('data: {'))) {
          JSON.parse(line.slice('data: '.length));
        }
      }),
      fuzzRuns(200),
    );
  });

  it('cannot break a document by what it contains', () => {
    fc.assert(
      fc.property(fc.constantFrom(...allPairings), fc.jsonValue(), (one, value) => {
        convertedDocument(newAdapter(one, false), Buffer.from(JSON.stringify(value)));
      }),
      fuzzRuns(200),
    );
  });
});
