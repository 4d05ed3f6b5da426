/**
 * What hostile clients do with one connection, each time slightly different. Each one ends within a
 * minute.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../../../tools/fuzz/random.ts';
import type { Behaviour } from '../behaviour.ts';
import { type HostileBody, hostileBodies } from '../hostile-bodies.ts';
import { head, type RawCall, rawCall } from '../raw-client.ts';
import { type MixedAnswer, mixedAnswers } from './answers.ts';

export interface HostileContext {
  readonly port: number;
  readonly random: Random;
  /** The provider's words that a client of this team received. */
  readonly delivered: (team: string, tokens: number) => void;
  /** The end of the run, at which slow clients leave. */
  readonly over: () => boolean;
}

type Act = (context: HostileContext) => Promise<void>;

const CHAT = '/v1/chat/completions';
/** Models with their own rules: `large` never runs out, `near` soon does. */
const MODELS = ['large', 'large', 'near'] as const;
const LONGEST_READ_MS = 20_000;
const SMALL_BODY_BYTES = 200_000;

const bodies: readonly HostileBody[] = hostileBodies('large').filter(({ body }) => body.length < SMALL_BODY_BYTES);
const largeBodies: readonly HostileBody[] = hostileBodies('large').filter(
  ({ body }) => body.length >= SMALL_BODY_BYTES,
);

interface Ask {
  readonly team: string;
  readonly mock?: Behaviour;
  readonly model?: string;
  readonly stream?: boolean;
  readonly lines?: readonly string[];
  readonly content?: string;
}

function request({ team, mock, model = 'large', stream = true, lines = [], content = 'Hello there' }: Ask): string {
  const body = JSON.stringify({ model, stream, messages: [{ role: 'user', content }] });
  const own = [`x-team: ${team}`, `content-length: ${Buffer.byteLength(body)}`, ...lines];
  return head(CHAT, mock === undefined ? own : [...own, `x-mock: ${JSON.stringify(mock)}`]) + body;
}

/** Returns the words of content in the whole events that arrived. */
export function wordsIn(text: string): number {
  let words = 0;
  for (const [, content = ''] of text.matchAll(/"content":"((?:[^"\\]|\\.)*)"[^\n]*\n/g)) {
    words += content.split(' ').length - 1;
  }
  return words;
}

function leave(raw: RawCall, random: Random): void {
  if (random.next() < 0.5) {
    raw.socket.resetAndDestroy();
  } else {
    raw.socket.destroy();
  }
}

/** Waits for the end of the response, the close of its connection, `ms` or the end of the run. */
function read(raw: RawCall, ms: number, over: () => boolean): Promise<void> {
  const { socket } = raw;
  let bytes = raw.text().length;
  let wanted: number | undefined;
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      clearInterval(watch);
      socket.off('data', take).off('close', done);
      resolve();
    };
    const look = (last: Buffer) => {
      wanted ??= lengthOf(raw.text());
      if (bytes >= (wanted ?? Number.POSITIVE_INFINITY)) {
        done();
      } else if (wanted === Number.POSITIVE_INFINITY && last.subarray(-5).toString('latin1') === '0\r\n\r\n') {
        done();
      }
    };
    const take = (piece: Buffer) => {
      bytes += piece.length;
      look(piece);
    };
    const timer = setTimeout(done, ms);
    const watch = setInterval(() => over() && done(), 250);
    socket.on('data', take).on('close', done);
    if (socket.destroyed) {
      done();
    } else {
      look(Buffer.from(raw.text().slice(-5), 'latin1'));
    }
  });
}

/** Returns the size of the whole response once its head has arrived; Infinity for chunks. */
function lengthOf(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) {
    return undefined;
  }
  const length = /^content-length: *(\d+)/im.exec(text.slice(0, end))?.[1];
  return length === undefined ? Number.POSITIVE_INFINITY : end + 4 + Number(length);
}

const acts: Readonly<Record<string, readonly [weight: number, act: Act]>> = {
  'slow upload': [
    30,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      const length = random.between(1_000, 300_000);
      await raw.write(head(CHAT, ['x-team: slow', `content-length: ${length}`]));
      await raw.write('{"model":"large","messages":[{"role":"user","content":"');
      for (let left = random.between(5, 120); left > 0 && raw.status() === undefined && !over(); left -= 1) {
        if (!(await raw.write('a'.repeat(random.between(1, 3_000))))) {
          break;
        }
        await sleep(random.between(20, 300));
      }
      leave(raw, random);
    },
  ],
  'slow head': [
    10,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      for (const letter of head(CHAT, ['x-team: slow', 'x-y: zzzzzzzzzzzzzzz']).slice(0, random.between(5, 120))) {
        if (over() || !(await raw.write(letter))) {
          break;
        }
        await sleep(random.between(1, 200));
      }
      leave(raw, random);
    },
  ],
  abort: [
    30,
    async ({ port, random, delivered }) => {
      const team = 'abort';
      const raw = await rawCall(port);
      const mock = { tokens: 500, paceMs: random.between(0, 8), tokensAChunk: random.between(1, 6) };
      await raw.write(request({ team, mock, model: random.pick(MODELS), stream: random.next() < 0.8 }));
      await sleep(random.between(0, 600));
      leave(raw, random);
      delivered(team, wordsIn(raw.text()));
    },
  ],
  'to the end': [
    20,
    async ({ port, random, delivered, over }) => {
      const team = `whole-${random.between(0, 19)}`;
      const raw = await rawCall(port);
      const mock: Behaviour = {
        tokens: random.between(1, 300),
        keepsBounds: random.next() < 0.7,
        usage: random.pick(['Asked', 'Always', 'Never']),
        ...(random.next() < 0.2 && {
          fail: { when: random.pick(['before', 'in', 'after']), how: random.pick(['reset', 'close']) },
        }),
        ...(random.next() < 0.1 && { encoding: random.pick(['gzip', 'br', 'zstd']) }),
      };
      await raw.write(request({ team, mock, model: random.pick(MODELS), stream: random.next() < 0.6 }));
      await read(raw, LONGEST_READ_MS, over);
      leave(raw, random);
      if (mock.encoding === undefined) {
        delivered(team, wordsIn(raw.text()));
      }
    },
  ],
  'malformed body': [
    30,
    async ({ port, random, over }) => {
      const hostile = random.pick(bodies);
      const bytes = Buffer.from(hostile.body);
      for (let changes = random.between(0, 3); changes > 0 && bytes.length > 0; changes -= 1) {
        bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
      }
      const raw = await rawCall(port);
      const lines = Object.entries(hostile.headers ?? {}).map(([name, value]) => `${name}: ${value}`);
      await raw.write(
        head(random.pick([CHAT, '/v1/messages', '/v1/responses', '/generate']), [
          'x-team: malformed',
          `content-length: ${bytes.length}`,
          ...lines,
        ]),
      );
      for (let at = 0; at < bytes.length; ) {
        const to = at + random.between(1, bytes.length);
        if (!(await raw.write(bytes.subarray(at, to)))) {
          break;
        }
        at = to;
      }
      await read(raw, 3_000, over);
      leave(raw, random);
    },
  ],
  'large body': [
    1,
    async ({ port, random, over }) => {
      const { body } = random.pick(largeBodies);
      const raw = await rawCall(port);
      await raw.write(head(CHAT, ['x-team: large', `content-length: ${body.length}`]));
      await raw.write(body);
      await read(raw, 5_000, over);
      leave(raw, random);
    },
  ],
  'more than fits': [
    2,
    async ({ port, random }) => {
      const raw = await rawCall(port);
      await raw.write(
        head(CHAT, ['x-team: large', random.pick(['content-length: 99999999999', 'transfer-encoding: chunked'])]),
      );
      for (let left = random.between(1, 40); left > 0 && raw.status() === undefined; left -= 1) {
        if (!(await raw.write(`10000\r\n${'a'.repeat(0x10000)}\r\n`))) {
          break;
        }
      }
      leave(raw, random);
    },
  ],
  'hostile head': [
    25,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      const lines = random.pick([
        () => Array.from({ length: random.between(90, 400) }, (_, index) => `x-${index}: y`),
        () => [`x-large: ${'a'.repeat(random.between(50_000, 300_000))}`],
        () => ['content-length: 5', 'transfer-encoding: chunked'],
        () => ['content-length: -1'],
        () => ['content-length: 10', 'content-length: 11'],
        () => ['transfer-encoding: gzip'],
        () => ['transfer-encoding: chunked', 'transfer-encoding: identity'],
        () => ['x-tallygate-route: default/limits/0/openai', 'content-length: 2'],
        () => ['x-request-id: a b\tc', 'content-length: 2'],
        () => [`x-team: ${'t'.repeat(20_000)}`, 'content-length: 2'],
        () => ['connection: upgrade', 'upgrade: websocket'],
        () => ['expect: 100-continue', 'content-length: 5'],
        () => ['content-encoding: gzip, gzip, gzip', 'content-length: 2'],
        () => [`x-nul: a\0b`, 'content-length: 2'],
        () => [' folded: a', 'content-length: 2'],
      ])();
      await raw.write(
        `${head(random.pick([CHAT, '/v1/models', '*', '/%2e%2e/v1/models', `/${'a'.repeat(9_000)}`]), lines)}{}`,
      );
      await read(raw, 500, over);
      leave(raw, random);
    },
  ],
  'no HTTP': [
    10,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      await raw.write(
        random.pick([
          () => random.bytes(random.between(1, 2_000)),
          () => 'GET / HTTP/0.9\r\n\r\n',
          () => '\x16\x03\x01\x02\x00',
        ])(),
      );
      await read(raw, 300, over);
      leave(raw, random);
    },
  ],
  'HTTP/2 frames': [
    15,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      await raw.write(
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))]),
      );
      for (let index = 0; index < random.between(1, 200); index += 1) {
        const id = random.pick([0, 1, 3, 5, 2 * index + 1]);
        const payload = random.bytes(random.pick([0, 4, 8, 5, 30, 300]));
        if (!(await raw.write(frame(random.between(0, 11), random.between(0, 255), id, payload)))) {
          break;
        }
      }
      await read(raw, 200, over);
      leave(raw, random);
    },
  ],
  'HTTP/2 resets': [
    10,
    async ({ port, random }) => {
      const raw = await rawCall(port);
      await raw.write(
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))]),
      );
      const reset = Buffer.from([0, 0, 0, 8]);
      for (let index = 0; index < random.between(1, 60); index += 1) {
        const id = 2 * index + 1;
        if (!(await raw.write(Buffer.concat([frame(1, 4, id, POST_BLOCK), frame(3, 0, id, reset)])))) {
          break;
        }
      }
      leave(raw, random);
    },
  ],
  'reads nothing': [
    6,
    async ({ port, random }) => {
      const raw = await rawCall(port, { reads: false });
      await raw.write(request({ team: 'deaf', mock: { tokens: 20_000, tokensAChunk: 20 } }));
      await sleep(random.between(1_000, 10_000));
      leave(raw, random);
    },
  ],
  'asks and asks': [
    8,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      const one = request({ team: 'pipeline', mock: { tokens: 3 }, stream: false });
      await raw.write(one.repeat(random.between(2, 20)));
      await read(raw, random.between(0, 1_000), over);
      leave(raw, random);
    },
  ],
  ...Object.fromEntries(
    (Object.keys(mixedAnswers) as MixedAnswer[]).map((hostile) => [
      `provider: ${hostile}`,
      [
        hostile === 'endless-stream' ? 2 : 8,
        async ({ port, random, delivered, over }: HostileContext) => {
          const raw = await rawCall(port);
          const seed = random.between(1, 1e9);
          const stream = random.next() < 0.8;
          await raw.write(request({ team: hostile, mock: { hostile, seed }, model: 'large', stream }));
          await read(raw, LONGEST_READ_MS, over);
          leave(raw, random);
          if (hostile !== 'broken-sse') {
            delivered(hostile, wordsIn(raw.text()));
          }
        },
      ] as const,
    ]),
  ),
  'provider: large': [
    1,
    async ({ port, random, over }) => {
      const raw = await rawCall(port);
      const hostile = random.pick(['endless-line', 'megabyte-event', 'compressed-bomb'] as const);
      await raw.write(request({ team: 'large', mock: { hostile }, stream: random.next() < 0.5 }));
      await read(raw, LONGEST_READ_MS, over);
      leave(raw, random);
    },
  ],
};

export const actNames: readonly string[] = Object.keys(acts);

/** Picks one of the requested acts, by weight. */
export function chooseAct(random: Random, asked: readonly string[]): readonly [name: string, act: Act] {
  const total = asked.reduce((sum, name) => sum + acts[name]![0], 0);
  let left = random.next() * total;
  for (const name of asked) {
    left -= acts[name]![0];
    if (left < 0) {
      return [name, acts[name]![1]];
    }
  }
  return [asked[0]!, acts[asked[0]!]![1]];
}

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

/** HPACK literals: POST of a chat completion without its end. */
const POST_BLOCK = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  literal(':path', CHAT),
  literal(':authority', 'localhost'),
  literal('x-team', 'reset'),
]);

function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}
