/** For tests: the recorded provider traffic that lies beside the checkout, as streams, documents and exchanges. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { TextSink } from './adapter.ts';

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
