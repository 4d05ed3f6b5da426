/**
 * Encodes `envoy.service.ext_proc.v3.ProcessingResponse`. Each answer has two functions, one for
 * its exact size and one that writes it, so that answers are written straight into the output
 * buffer. Call the writer right after the size function, which has already encoded the headers. A
 * body is left out: it comes last, and the caller appends it.
 */

import type { HeaderList, HeaderMutation, ImmediateResponse } from '../exchange.ts';
import { bytesTag, fieldLength, varintLength, varintTag, writeVarint } from './protobuf.ts';
import { encodeStruct } from './struct.ts';

/** Field numbers of the oneof in `ProcessingResponse`. */
export const REQUEST_HEADERS_ANSWER = 1;
export const RESPONSE_HEADERS_ANSWER = 2;
export const REQUEST_BODY_ANSWER = 3;
export const RESPONSE_BODY_ANSWER = 4;
export const REQUEST_TRAILERS_ANSWER = 5;
export const RESPONSE_TRAILERS_ANSWER = 6;
const IMMEDIATE_ANSWER = 7;
const DYNAMIC_METADATA = 8;

export type HeadersAnswer = typeof REQUEST_HEADERS_ANSWER | typeof RESPONSE_HEADERS_ANSWER;
export type BodyAnswer = typeof REQUEST_BODY_ANSWER | typeof RESPONSE_BODY_ANSWER;
export type TrailersAnswer = typeof REQUEST_TRAILERS_ANSWER | typeof RESPONSE_TRAILERS_ANSWER;

/** `HeaderAppendAction`. Envoy appends by default. */
const OVERWRITE_IF_EXISTS_OR_ADD = 2;

const NO_HEADERS: HeaderList = [];

/** The `HeaderMutation` that the last size function encoded. */
let mutationBytes = Buffer.allocUnsafeSlow(4096);
let mutationLength = 0;
/** The dynamic metadata of the last mutation that has some. */
let metadataBytes: Buffer | undefined;

/** Returns the size without the mutation's body. The body must follow. */
export function headersAnswerSize(mutation: HeaderMutation): number {
  encodeMutation(mutation.set, mutation.remove);
  metadataBytes = mutation.metadata && encodeStruct(mutation.metadata);
  const metadata = metadataBytes === undefined ? 0 : fieldLength(metadataBytes.length);
  return metadata + fieldLength(fieldLength(commonLength(mutation))) - (mutation.body?.length ?? 0);
}

export function writeHeadersAnswer(
  target: Buffer,
  start: number,
  answer: HeadersAnswer,
  mutation: HeaderMutation,
): number {
  const common = commonLength(mutation);
  let at = start;
  if (metadataBytes !== undefined) {
    at = openField(target, at, DYNAMIC_METADATA, metadataBytes.length);
    at += metadataBytes.copy(target, at);
  }
  at = openField(target, at, answer, fieldLength(common));
  at = openField(target, at, 1, common);
  at = writeMutation(target, at);
  if (mutation.clearRouteCache === true) {
    at = writeTrue(target, at, 5);
  }
  return mutation.body === undefined ? at : openReplacement(target, at, mutation.body.length);
}

/** Returns the size of the message before a body of `bodyLength` bytes, which must follow. */
export function bodyAnswerSize(bodyLength: number, endOfStream: boolean): number {
  let length = endOfStream ? 2 : 0;
  if (bodyLength > 0) {
    length += fieldLength(bodyLength);
  }
  const mutation = fieldLength(length);
  const common = fieldLength(mutation);
  return fieldLength(fieldLength(common)) - bodyLength;
}

export function writeBodyAnswer(
  target: Buffer,
  start: number,
  answer: BodyAnswer,
  bodyLength: number,
  endOfStream: boolean,
): number {
  let length = endOfStream ? 2 : 0;
  if (bodyLength > 0) {
    length += fieldLength(bodyLength);
  }
  const mutation = fieldLength(length);
  const common = fieldLength(mutation);
  let at = openField(target, start, answer, fieldLength(common));
  at = openField(target, at, 1, common);
  at = openField(target, at, 3, mutation);
  at = openField(target, at, 3, length);
  // Protobuf fields may come in any order. With the body last, it need not be copied.
  if (endOfStream) {
    at = writeTrue(target, at, 2);
  }
  if (bodyLength > 0) {
    at = openField(target, at, 1, bodyLength);
  }
  return at;
}

export const TRAILERS_ANSWER_SIZE = 2;

export function writeTrailersAnswer(target: Buffer, start: number, answer: TrailersAnswer): number {
  return openField(target, start, answer, 0);
}

/** Returns the size of the message before `response.body`, which must follow. */
export function immediateAnswerSize(response: ImmediateResponse): number {
  encodeMutation(response.headers, undefined);
  return fieldLength(immediateLength(response)) - response.body.length;
}

export function writeImmediateAnswer(target: Buffer, start: number, response: ImmediateResponse): number {
  let at = openField(target, start, IMMEDIATE_ANSWER, immediateLength(response));
  at = openField(target, at, 1, 1 + varintLength(response.status));
  target[at++] = varintTag(1);
  at = writeVarint(target, at, response.status);
  at = writeMutation(target, at);
  if (response.details !== '') {
    at = writeText(target, at, 5, response.details, textLength(response.details, STRING));
  }
  if (response.body.length > 0) {
    at = openField(target, at, 3, response.body.length);
  }
  return at;
}

function immediateLength(response: ImmediateResponse): number {
  let length = fieldLength(1 + varintLength(response.status));
  if (mutationLength > 0) {
    length += fieldLength(mutationLength);
  }
  if (response.details !== '') {
    length += fieldLength(textLength(response.details, STRING));
  }
  if (response.body.length > 0) {
    length += fieldLength(response.body.length);
  }
  return length;
}

function commonLength({ clearRouteCache, body }: HeaderMutation): number {
  const replacement = body === undefined ? 0 : 2 + fieldLength(fieldLength(body.length));
  return (mutationLength > 0 ? fieldLength(mutationLength) : 0) + (clearRouteCache === true ? 2 : 0) + replacement;
}

/** Writes CONTINUE_AND_REPLACE and the fields before the body. */
function openReplacement(target: Buffer, start: number, bodyLength: number): number {
  let at = writeTrue(target, start, 1);
  at = openField(target, at, 3, fieldLength(bodyLength));
  return openField(target, at, 1, bodyLength);
}

function writeMutation(target: Buffer, start: number): number {
  if (mutationLength === 0) {
    return start;
  }
  const at = openField(target, start, 2, mutationLength);
  mutationBytes.copy(target, at, 0, mutationLength);
  return at + mutationLength;
}

/** Tags and lengths of one header, and the most bytes of a character in UTF-8. */
const HEADER_FRAME_BYTES = 48;
const CHARACTER_BYTES = 3;

/**
 * Reads each text once. Its length precedes it and is part of the lengths of the enclosing
 * messages.
 */
function encodeMutation(set: HeaderList = NO_HEADERS, remove: readonly string[] | undefined): void {
  mutationLength = 0;
  for (const header of set) {
    const [name, value] = header;
    reserve(name.length + value.length);
    const target = mutationBytes;
    const nameLength = textLength(name, STRING);
    const valueLength = textLength(value, RAW);
    const headerLength = fieldLength(nameLength) + fieldLength(valueLength);
    let at = openField(target, mutationLength, 1, fieldLength(headerLength) + 2);
    at = openField(target, at, 1, headerLength);
    at = writeText(target, at, 1, name, nameLength);
    at = writeText(target, at, 3, value, valueLength);
    target[at] = varintTag(3);
    target[at + 1] = OVERWRITE_IF_EXISTS_OR_ADD;
    mutationLength = at + 2;
  }
  if (remove === undefined) {
    return;
  }
  for (const name of remove) {
    reserve(name.length);
    mutationLength = writeText(mutationBytes, mutationLength, 2, name, textLength(name, STRING));
  }
}

function reserve(characters: number): void {
  const needed = mutationLength + characters * CHARACTER_BYTES + HEADER_FRAME_BYTES;
  if (needed <= mutationBytes.length) {
    return;
  }
  const larger = Buffer.allocUnsafeSlow(2 * needed);
  mutationBytes.copy(larger, 0, 0, mutationLength);
  mutationBytes = larger;
}

function openField(target: Buffer, at: number, field: number, length: number): number {
  target[at] = bytesTag(field);
  return writeVarint(target, at + 1, length);
}

function writeTrue(target: Buffer, at: number, field: number): number {
  target[at] = varintTag(field);
  target[at + 1] = 1;
  return at + 2;
}

/**
 * The largest code of a one-byte character in a protobuf `string`: strings are UTF-8, and Envoy
 * rejects anything else.
 */
const STRING = 0x7f;
/**
 * The same for raw values, which are latin1 as they came in. A value with a larger character is
 * written as UTF-8: truncating codes to bytes could turn a letter into a line break.
 */
const RAW = 0xff;

/**
 * Returns the length of `text`: one byte per character if all codes are at most `narrow`, its UTF-8
 * length otherwise.
 */
function textLength(text: string, narrow: number): number {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > narrow) {
      return Buffer.byteLength(text, 'utf8');
    }
  }
  return text.length;
}

/** Texts longer than this are worth a native call. */
const NATIVE_WRITE_LENGTH = 64;

function writeText(target: Buffer, start: number, field: number, text: string, length: number): number {
  const at = openField(target, start, field, length);
  if (length !== text.length) {
    target.write(text, at, 'utf8');
  } else if (length > NATIVE_WRITE_LENGTH) {
    target.write(text, at, 'latin1');
  } else {
    for (let index = 0; index < length; index++) {
      target[at + index] = text.charCodeAt(index);
    }
  }
  return at + length;
}
