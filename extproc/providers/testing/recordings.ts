/**
 * Exchanges with providers (the fixtures, and recordings if present) as streams, documents and
 * requests.
 */
import path from 'node:path';
import type { RecordedExchange } from '../../../fixtures/exchange.ts';
import { fixtures } from '../../../fixtures/fixtures.ts';
import { recordings } from '../../../fixtures/recordings.ts';
import { isFailure } from '../../errors.ts';
import { newScanner } from '../../json/json-tokenizer.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { TextSink } from '../../json/text-sink.ts';
import { newEventSplitter } from '../../sse/events.ts';
import type { ClientApi, RequestFacts, ResponseAdapter, ResponseOptions } from '../adapter.ts';
import { findEndpoint } from '../registry.ts';

/** An exchange with its client API. */
export interface ReadExchange extends RecordedExchange {
  readonly endpoint: ClientApi;
}

/** Returns fixtures and recordings; recordings are named without folder and suffix. */
export function exchanges(): readonly ReadExchange[] {
  const recorded = recordings().map((one) => ({
    ...one,
    name: path.basename(one.name).replace(/\.(chunks\.txt|json)$/, ''),
  }));
  return [...fixtures, ...recorded].map((one) => {
    const endpoint = findEndpoint('POST', one.path, () => undefined)?.endpoint;
    if (endpoint === undefined) {
      throw new Error(`no endpoint for ${one.path} of ${one.name}`);
    }
    return { ...one, endpoint };
  });
}

/** Returns whole events with their final blank line. */
export function eventsOf(stream: Uint8Array): readonly (readonly [start: number, end: number])[] {
  const text = Buffer.from(stream).toString('latin1');
  const events: [number, number][] = [];
  for (let at = 0; at < text.length; ) {
    const blank = /\n\n|\r\n\r\n/g;
    blank.lastIndex = at;
    const next = blank.test(text) ? blank.lastIndex : text.length;
    events.push([at, next]);
    at = next;
  }
  return events;
}

/** Collects text by channel. */
export class TextByChannel implements TextSink {
  readonly channels = new Map<number, string>();

  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    const before = this.channels.get(channel) ?? '';
    this.channels.set(channel, before + Buffer.from(bytes.subarray(start, end)).toString('latin1'));
  }

  /** Returns the unescaped texts. */
  decoded(channel: number): string {
    const raw = Buffer.from(this.channels.get(channel) ?? '', 'latin1').toString();
    return JSON.parse(`"${raw}"`) as string;
  }
}

export const NO_TEXT: TextSink = { text() {} };

/** Returns all streams, each with its client API. */
export function recordedStreams(): readonly RecordedStream[] {
  return exchanges()
    .filter(({ stream }) => stream)
    .map(({ name, endpoint, answer }) => ({ name, endpoint, stream: Buffer.from(answer) }));
}

export interface RecordedStream {
  readonly name: string;
  readonly endpoint: ClientApi;
  readonly stream: Buffer;
}

/** A minimal request for a stream. */
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

export function newAdapter(
  endpoint: ClientApi,
  options: Partial<ResponseOptions> = {},
  request = PLAIN_REQUEST,
): ResponseAdapter {
  const adapter = endpoint.response?.(request, { hideUsage: false, model: 'some-model', ...options });
  if (adapter === undefined) {
    throw new Error(`${endpoint.path} has no adapter`);
  }
  return adapter;
}

/** Reads events of a stream and sends them. */
export function passEvents({ reader, writer }: ResponseAdapter, ...events: readonly Uint8Array[]): void {
  for (const event of events) {
    // Overwrites the event after use, as the read buffer is in production.
    const given = Buffer.from(event);
    writer.write(given, 0, given.length, reader.read(given, 0, given.length, NO_TEXT));
    given.fill(0xdb);
  }
}

/** Returns the bytes that a client gets for a stream in these pieces. */
export function relayed(
  { reader, writer }: ResponseAdapter,
  pieces: Iterable<Uint8Array>,
  sink: TextSink,
  maxEventBytes?: number,
): Buffer {
  const splitter = newEventSplitter(maxEventBytes);
  const sent: Uint8Array[] = [];
  for (const piece of pieces) {
    const given = Buffer.from(piece);
    splitter.push(given);
    while (splitter.next()) {
      const { bytes, start, end, part } = splitter;
      const facts =
        part === 'none'
          ? reader.read(bytes, start, end, sink)
          : reader.readPart(bytes, start, end, part === 'last', sink);
      const verdict = part === 'begun' ? 'pass' : writer.write(bytes, start, end, facts);
      if (verdict === 'pass') {
        sent.push(Buffer.from(bytes.subarray(start, end)));
      } else if (verdict === 'replace') {
        sent.push(Buffer.from(writer.replacement));
      }
    }
    // Overwrites the piece after use, as the read buffer is in production.
    given.fill(0xdb);
  }
  sent.push(splitter.rest());
  return Buffer.concat(sent);
}

export function scanned(endpoint: ClientApi, body: string | Uint8Array): ScannedBody {
  const scanner = newScanner(endpoint.shape);
  const problem = scanner.push(Buffer.from(body));
  const result = problem ?? scanner.finish();
  if (isFailure(result)) {
    throw new Error(result.message);
  }
  return result;
}
