/** For tests: the recorded provider traffic that lies beside the checkout, as streams, documents and exchanges. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { isFailure } from '../errors.ts';
import { newEventSplitter } from '../stream/events.ts';
import { newScanner, type ScannedBody } from '../stream/json.ts';
import type { AnswerOptions, Endpoint, RequestFacts, StreamReader, TextSink } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { responses } from './openai/responses.ts';

const ROOT = new URL('../../../shared/recordings/', import.meta.url);

export interface Recording {
  readonly name: string;
  readonly text: string;
}

export interface RecordedExchange {
  readonly name: string;
  readonly url: string;
  readonly request: string;
  readonly status: number;
  readonly response: string;
}

export function recordings(folder: string, suffix: '.chunks.txt' | '.json'): readonly Recording[] {
  const directory = new URL(`${folder}/`, ROOT);
  return readdirSync(directory)
    .filter((name) => name.endsWith(suffix))
    .map((name) => ({ name: name.slice(0, -suffix.length), text: readFileSync(new URL(name, directory), 'utf8') }));
}

/** The stream as the provider sent it; the recordings keep one payload a line. */
export function asStream(recording: Recording, form: 'openai' | 'named'): Buffer {
  const payloads = recording.text.split('\n').filter((line) => line !== '');
  const events = payloads.map((payload) =>
    form === 'openai'
      ? `data: ${payload}\n\n`
      : `event: ${(JSON.parse(payload) as { type: string }).type}\ndata: ${payload}\n\n`,
  );
  return Buffer.from(events.join('') + (form === 'openai' ? 'data: [DONE]\n\n' : ''));
}

/** The go-vcr cassettes. */
export function exchanges(): readonly RecordedExchange[] {
  const directory = new URL('openai/', ROOT);
  return readdirSync(directory).flatMap((name) => {
    const cassette = parse(readFileSync(new URL(name, directory), 'utf8')) as {
      interactions: { request: { body: string; url: string }; response: { body: string; code: number } }[];
    };
    return cassette.interactions.map(({ request, response }) => ({
      name,
      url: request.url,
      request: request.body,
      status: response.code,
      response: response.body,
    }));
  });
}

/** Whole events, their blank line included. */
export function eventsOf(stream: Uint8Array): readonly (readonly [start: number, end: number])[] {
  const text = Buffer.from(stream).toString('latin1');
  const events: [number, number][] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n\n', at);
    const next = end < 0 ? text.length : end + 2;
    events.push([at, next]);
    at = next;
  }
  return events;
}

/** Gathers text by channel. */
export class TextByChannel implements TextSink {
  readonly channels = new Map<number, string>();

  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    const before = this.channels.get(channel) ?? '';
    this.channels.set(channel, before + Buffer.from(bytes.subarray(start, end)).toString('latin1'));
  }

  /** Escapes undone. */
  decoded(channel: number): string {
    const raw = Buffer.from(this.channels.get(channel) ?? '', 'latin1').toString();
    return JSON.parse(`"${raw}"`) as string;
  }
}

export const NO_TEXT: TextSink = { text() {} };

/** All recorded streams, each with the endpoint that it answers. */
export function recordedStreams(): readonly RecordedStream[] {
  const folders = [
    ['openai-compatible', 'openai', chat],
    ['openai-responses', 'named', responses],
    ['anthropic', 'named', messages],
  ] as const;
  const streams = folders.flatMap(([folder, form, endpoint]) =>
    recordings(folder, '.chunks.txt').map((recording) => ({
      name: recording.name,
      endpoint,
      stream: asStream(recording, form),
    })),
  );
  const cassettes = exchanges()
    .filter(({ response }) => response.startsWith('data: '))
    .map(({ name, url, response }) => ({
      name,
      endpoint: url.endsWith('/chat/completions') ? chat : completions,
      stream: Buffer.from(response),
    }));
  return [...streams, ...cassettes];
}

export interface RecordedStream {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly stream: Buffer;
}

/** A request that asks for a stream, as plain as can be. */
export const PLAIN_REQUEST: RequestFacts = {
  model: 'some-model',
  stream: true,
  choices: 1,
  leastOutputTokens: 1,
  hasOutput: true,
  hiddenOutput: false,
  usageAsked: true,
  textBytes: 0,
  overheadTokens: 0,
  mediaTokens: 0,
  givenTokens: 0,
  unbounded: [],
};

export function streamReader(
  endpoint: Endpoint,
  options: Partial<AnswerOptions> = {},
  request = PLAIN_REQUEST,
): StreamReader {
  const answer = endpoint.answer?.(request, { hideUsage: false, model: 'some-model', ...options });
  if (answer === undefined) throw new Error(`${endpoint.path} has no answer`);
  return answer.stream;
}

/** The bytes that a client gets of a stream that comes in these pieces. */
export function relayed(reader: StreamReader, pieces: Iterable<Uint8Array>, sink: TextSink): Buffer {
  const splitter = newEventSplitter();
  const sent: Uint8Array[] = [];
  for (const piece of pieces) {
    const given = Buffer.from(piece);
    splitter.push(given);
    while (splitter.next()) {
      const { bytes, start, end } = splitter;
      const verdict = reader.read(bytes, start, end, sink);
      if (verdict === 'pass') sent.push(Buffer.from(bytes.subarray(start, end)));
      else if (verdict === 'replace') sent.push(Buffer.from(reader.replacement));
    }
    // As in use, where the buffer of a piece is read into again: whoever still needs it must have copied.
    given.fill(0xdb);
  }
  sent.push(splitter.rest());
  return Buffer.concat(sent);
}

export function scanned(endpoint: Endpoint, body: string | Uint8Array): ScannedBody {
  const scanner = newScanner(endpoint.shape);
  const problem = scanner.push(Buffer.from(body));
  const result = problem ?? scanner.finish();
  if (isFailure(result)) throw new Error(result.message);
  return result;
}
