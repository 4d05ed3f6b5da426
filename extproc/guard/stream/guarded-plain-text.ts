/** Masks a whole answer that is plain text, such as a transcript with or without times. */
import type { RequestGuard } from '../guard.ts';
import type { Analyses } from './analyses.ts';
import { type DocumentStep, guardDocument } from './guarded-document.ts';

/** More than a day of speech; a longer text would hold the event loop. */
const MAX_PLAIN_BYTES = 2 * 1024 * 1024;

const SPACE = 0x20;

/** Whether an answer does not even begin as JSON. */
export function isPlainText(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte > SPACE);
  return first !== 0x7b && first !== 0x5b;
}

/** Does as `guardDocument`, with the answer as one text. Nothing is left of one that is blocked. */
export function* guardPlainText(
  bytes: Uint8Array,
  guard: RequestGuard,
  analyses: Analyses | undefined,
): Generator<DocumentStep, Uint8Array | undefined> {
  if (bytes.length > MAX_PLAIN_BYTES) {
    return undefined;
  }
  // As a JSON document that is one string, so that both have one way.
  const document = Buffer.from(JSON.stringify(Buffer.from(bytes).toString()));
  const guarded = yield* guardDocument(document, guard, analyses);
  if (guarded === undefined || guarded === document) {
    return guarded && bytes;
  }
  return Buffer.from(JSON.parse(Buffer.from(guarded).toString()) as string);
}
