/** Masks a whole answer, of any client API. */
import type { RequestGuard } from '../guard.ts';
import { ResponseTexts } from '../text/responses/response-texts.ts';
import type { Analyses } from './analyses.ts';
import { AnalyzedText } from './analyzed-text.ts';
import { ChannelText } from './channel-text.ts';
import { Channels, type NewText } from './channels.ts';
import { HeldText } from './held-text.ts';
import { withoutText } from './without-text.ts';

/** `answers`: services have been asked, and must answer first. */
export type DocumentStep = number | 'answers';

/**
 * Yields the units of each step, and returns the document that the client gets; undefined where it
 * cannot be read. Of a document that a rule blocks, only the form is left, with the reason to
 * finish that its API has for this. Services get the text before values are restored.
 */
export function* guardDocument(
  bytes: Uint8Array,
  guard: RequestGuard,
  analyses: Analyses | undefined,
): Generator<DocumentStep, Uint8Array | undefined> {
  const asks = analyses !== undefined;
  const detected = yield* pass(
    bytes,
    guard,
    (kind) => new ChannelText(kind, guard, { rules: true, placeholders: !asks }),
  );
  if (detected === undefined || guard.block !== undefined || !asks) {
    return detected;
  }
  const analyzed = yield* pass(detected, guard, (kind) => new AnalyzedText(kind, guard, analyses), analyses);
  if (analyzed === undefined || guard.block !== undefined || guard.placeholders === undefined) {
    return analyzed;
  }
  return yield* pass(analyzed, guard, (kind) => new ChannelText(kind, guard, { rules: false, placeholders: true }));
}

function* pass(
  bytes: Uint8Array,
  guard: RequestGuard,
  newText: NewText,
  analyses?: Analyses,
): Generator<DocumentStep, Uint8Array | undefined> {
  const texts = new ResponseTexts(false);
  if (!(yield* texts.read(bytes, 0, bytes.length, 0))) {
    return undefined;
  }
  const held = new HeldText(bytes, 0, bytes.length, 0);
  if (guard.changesResponses) {
    held.edits.push(...texts.spelled);
  }
  const channels = new Channels(guard, newText);
  yield* channels.take(held, texts);
  channels.end();
  while (analyses?.isWaiting && guard.block === undefined) {
    yield 'answers';
  }
  if (guard.block !== undefined) {
    held.edits.length = 0;
    held.edits.push(...withoutText(texts), ...texts.finishes);
  }
  return held.edits.length === 0 ? bytes : held.edited();
}
