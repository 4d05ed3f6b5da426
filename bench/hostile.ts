/**
 * Requests and responses that try to block an event loop: slow to scan, count, unescape or
 * decompress.
 */
import { gzipSync } from 'node:zlib';

const MEGABYTE = 1 << 20;
const LARGE_BYTES = 10 * MEGABYTE;
const BOMB_BYTES = 64 * MEGABYTE;

/**
 * Models with their own rules: `plain` counts no prompt, `counted` counts each to its end, `near`
 * has a limit of a few tokens.
 */
export type Model = 'plain' | 'counted' | 'near';

export interface HostileRequest {
  readonly name: string;
  readonly model: Model;
  /** The body without the model. */
  readonly body: string;
}

const say = (content: string) => `"messages":[{"role":"user","content":"${content}"}]`;
const times = (count: number, make: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => make(index));
const letter = (index: number) => String.fromCharCode(97 + ((index * 7_919 + (index >> 3)) % 26));
const letters = (count: number) => times(count, letter).join('');
const chinese = (index: number) => String.fromCharCode(0x4e00 + ((index * 7_919) % 20_000));

export function hostileRequests(): readonly HostileRequest[] {
  const words = 'word '.repeat(LARGE_BYTES / 5);
  return [
    { name: '200,000 letters in one word', model: 'counted', body: say(letters(200_000)) },
    { name: '200,000 Chinese characters in one word', model: 'counted', body: say(times(200_000, chinese).join('')) },
    { name: '200,000 blanks', model: 'counted', body: say(' '.repeat(200_000)) },
    { name: '10 MB of words', model: 'plain', body: say(words) },
    { name: '10 MB of words, counted', model: 'counted', body: say(words) },
    { name: '10 MB in one word, counted', model: 'counted', body: say('x'.repeat(LARGE_BYTES)) },
    { name: '10 MB of escapes, counted', model: 'counted', body: say('\\u0041'.repeat(LARGE_BYTES / 6)) },
    {
      name: '200,000 messages',
      model: 'counted',
      body: `"messages":[${times(200_000, () => '{"role":"user","content":"a"}')}]`,
    },
    { name: '300,000 keys', model: 'plain', body: `${say('a')},${times(300_000, (index) => `"k${index}":0`)}` },
    {
      name: '100,000 tools',
      model: 'counted',
      body: `${say('a')},"tools":[${times(100_000, () => '{"type":"function","function":{"name":"a"}}')}]`,
    },
    {
      name: '100,000 nested arrays',
      model: 'plain',
      body: `${say('a')},"x":${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    },
    { name: '3,000,000 open brackets', model: 'plain', body: `"x":${'['.repeat(3_000_000)}` },
    { name: 'a number of 10 MB', model: 'plain', body: `${say('a')},"x":${'1'.repeat(LARGE_BYTES)}` },
  ];
}

export interface HostileAnswer {
  readonly name: string;
  readonly model: Model;
  readonly stream: boolean;
  readonly encoding?: 'gzip';
  readonly bytes: Buffer;
}

const event = (content: string, choice = 0) =>
  `data: {"id":"a","choices":[{"index":${choice},"delta":{"content":"${content}"},"finish_reason":null}]}\n\n`;
const whole = (content: string) =>
  `{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":"${content}"},"finish_reason":"stop"}]}`;

export function hostileAnswers(): readonly HostileAnswer[] {
  const stream = (name: string, text: string, model: Model = 'plain') => ({
    name,
    model,
    stream: true,
    bytes: Buffer.from(text),
  });
  const json = (name: string, text: string) => ({
    name,
    model: 'plain' as const,
    stream: false,
    bytes: Buffer.from(text),
  });
  return [
    stream('a megabyte in one event', event('x'.repeat(MEGABYTE))),
    stream('a megabyte in one event, near the end of a budget', event('x'.repeat(MEGABYTE)), 'near'),
    stream('a stream of 10 MB without newline', `data: {"choices":[{"delta":{"content":"${'x'.repeat(LARGE_BYTES)}`),
    stream('10 MB of newlines', '\n'.repeat(LARGE_BYTES)),
    stream('10 MB of small events at once, one word', event('a').repeat(LARGE_BYTES / 90)),
    stream('10 MB of small events at once, one rule of =', event('=').repeat(LARGE_BYTES / 90)),
    stream('small events at once, one word, near the end of a budget', event('a').repeat(20_000), 'near'),
    stream('small events of 128 choices at once', times(100_000, (index) => event('a', index % 128)).join('')),
    stream('events of 64 KB, all letters', event(letters(65_536)).repeat(64)),
    stream('events of 64 KB, all brackets', `data: ${'['.repeat(65_536)}\n\n`.repeat(64)),
    stream('events of 64 KB, each one letter', event('x'.repeat(65_536)).repeat(64)),
    json('JSON of 10 MB', whole('word '.repeat(LARGE_BYTES / 5))),
    json('JSON of 10 MB, one word', whole('x'.repeat(LARGE_BYTES))),
    json('JSON of 3,000,000 brackets', '['.repeat(3_000_000)),
    { ...json('64 MB in 64 KB of gzip', ''), encoding: 'gzip', bytes: gzipSync(whole('x'.repeat(BOMB_BYTES))) },
  ];
}
