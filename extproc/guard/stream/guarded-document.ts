/** Masks a whole answer, of any client API. */
import type { RequestGuard } from '../guard.ts';
import { ResponseTexts } from '../text/responses/response-texts.ts';
import { Channels } from './channels.ts';
import { HeldText } from './held-text.ts';
import { withoutText } from './without-text.ts';

/**
 * Yields the units of each step, and returns the document that the client gets; undefined where it
 * cannot be read. Of a document that a rule blocks, only the form is left, with the reason to
 * finish that its API has for this.
 */
export function* guardDocument(bytes: Uint8Array, guard: RequestGuard): Generator<number, Uint8Array | undefined> {
  const texts = new ResponseTexts(false);
  if (!(yield* texts.read(bytes, 0, bytes.length, 0))) {
    return undefined;
  }
  const held = new HeldText(bytes, 0, bytes.length, 0);
  if (guard.changesResponses) {
    held.edits.push(...texts.spelled);
  }
  const channels = new Channels(guard);
  yield* channels.take(held, texts);
  channels.end();
  if (guard.block !== undefined) {
    held.edits.length = 0;
    held.edits.push(...withoutText(texts), ...texts.finishes);
  }
  return held.edits.length === 0 ? bytes : held.edited();
}
