/**
 * Finds text that no adapter knows: providers add events and members often, and what a model writes
 * is billed under any name.
 * Skips only what cannot be text (ids, names of kinds, signatures, addresses).
 */

import type { JsonCursor } from '../json/cursor.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { EventData } from './event.ts';

/** Members whose strings are never written by the model, at any place. */
const NO_TEXT: ReadonlySet<string> = new Set([
  'id',
  'type',
  'role',
  'channel',
  'phase',
  'kind',
  'event',
  'object',
  'model',
  'format',
  'mime_type',
  'media_type',
  'status',
  'signature',
  'encrypted_content',
  'obfuscation',
  'provider',
  'provider_specific_fields',
  'service_tier',
  'system_fingerprint',
  'finish_reason',
  'native_finish_reason',
  'matched_stop',
  'stop_reason',
  'stop_sequence',
  'stop_details',
  'container',
  'logprobs',
  'content_filter_results',
  'prompt_filter_results',
  'content_filter_offsets',
  'citation',
  'citations',
  'annotation',
  'annotations',
  'image_url',
  'images',
  'url',
  'b64_json',
  'partial_image_b64',
]);

/** Channel of unknown text, past all channels of the adapters. */
const UNKNOWN_CHANNEL = 2 ** 30;

/** Deeper values are ignored. */
const MAX_DEPTH = 16;

export function mayBeText(key: string): boolean {
  return !NO_TEXT.has(key) && !key.endsWith('_id');
}

/**
 * Calls `take` for each text in the value at the cursor, and moves past the value. The text is
 * [`cursor.textStart`, `textEnd`).
 */
export function eachText(cursor: JsonCursor, take: () => void, depth = 0): void {
  if (depth === MAX_DEPTH) {
    cursor.skip();
  } else if (cursor.isObject()) {
    cursor.enterObject();
    while (cursor.nextMember()) {
      if (mayBeText(cursor.key)) {
        eachText(cursor, take, depth + 1);
      } else {
        cursor.skip();
      }
    }
  } else if (cursor.isArray()) {
    cursor.enterArray();
    while (cursor.nextElement()) {
      eachText(cursor, take, depth + 1);
    }
  } else if (cursor.string() && !startsWith(cursor.bytes, cursor.textStart, cursor.textEnd, 'data:')) {
    take();
  }
}

/** Reads all text of an event of an unknown kind. */
export function unknownEvent(cursor: JsonCursor, data: EventData, sink: TextSink): void {
  cursor.begin(data.bytes, data.start, data.end);
  eachText(cursor, () => {
    if (cursor.textEnd > cursor.textStart) {
      sink.text(UNKNOWN_CHANNEL, data.bytes, cursor.textStart, cursor.textEnd);
    }
  });
}

/**
 * Reads data that is not JSON: all of it may be text. Returns false for a known marker (`[DONE]`,
 * which some servers send in APIs without it).
 */
export function unreadableData(data: EventData, sink: TextSink): boolean {
  if (data.end === data.start || data.is('[DONE]')) {
    return false;
  }
  sink.text(UNKNOWN_CHANNEL, data.bytes, data.start, data.end);
  return true;
}

/**
 * Reads an event without data: its bytes count if they are not part of the event stream format.
 * Returns false if the event is empty, as it should be.
 */
export function foreignBytes(bytes: Uint8Array, start: number, end: number, sink: TextSink): boolean {
  for (let at = start; at < end; at++) {
    const lineStart = at;
    while (at < end && bytes[at] !== 0x0a && bytes[at] !== 0x0d) {
      at++;
    }
    if (at > lineStart && !isFieldOfEvent(bytes, lineStart, at)) {
      sink.text(UNKNOWN_CHANNEL, bytes, start, end);
      return true;
    }
  }
  return false;
}

const SILENT_LINES = [':', 'event', 'id', 'retry', '\u00ef\u00bb\u00bf'];

function isFieldOfEvent(bytes: Uint8Array, start: number, end: number): boolean {
  return SILENT_LINES.some((field) => startsWith(bytes, start, end, field));
}

function startsWith(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start < text.length) {
    return false;
  }
  for (let at = 0; at < text.length; at++) {
    if (bytes[start + at] !== text.charCodeAt(at)) {
      return false;
    }
  }
  return true;
}
