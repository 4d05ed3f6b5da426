/**
 * Text where no adapter knows of any: providers add events and members faster than anybody can follow, and what a model writes is billed under whatever name.
 * Only what cannot be text (ids, names of kinds, signatures, addresses) is left out.
 */

import type { JsonCursor } from '../json/cursor.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { EventData } from './event.ts';

/** Members whose strings are not what the model writes, wherever they stand. */
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

/** Of text that belongs to nothing that is known: past all channels of the dialects. */
const UNKNOWN_CHANNEL = 2 ** 30;

/** What is deeper is not looked at. */
const MAX_DEPTH = 16;

export function mayBeText(key: string): boolean {
  return !NO_TEXT.has(key) && !key.endsWith('_id');
}

/** Calls `take` for each text in the value at the cursor, which is then past it; the text stands in `cursor.textStart` and `textEnd`. */
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

/** All text of an event whose kind is not known. */
export function unknownEvent(cursor: JsonCursor, data: EventData, sink: TextSink): void {
  cursor.begin(data.bytes, data.start, data.end);
  eachText(cursor, () => {
    if (cursor.textEnd > cursor.textStart) {
      sink.text(UNKNOWN_CHANNEL, data.bytes, cursor.textStart, cursor.textEnd);
    }
  });
}

/** Data that is no JSON: all of it may be text. False: it is none (`[DONE]`, which some servers send in dialects without it). */
export function unreadableData(data: EventData, sink: TextSink): boolean {
  if (data.end === data.start || data.is('[DONE]')) {
    return false;
  }
  sink.text(UNKNOWN_CHANNEL, data.bytes, data.start, data.end);
  return true;
}

/** An event without data: its bytes count where they are not those of a stream of events at all. False: it says nothing, as it should. */
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
