import type { Splice } from '../../json/splice.ts';
import type { ResponseText, ResponseTexts } from '../text/responses/response-texts.ts';

const EMPTY = new Uint8Array(0);
const EMPTY_ARGUMENTS = Buffer.from('{}');
const NULL = Buffer.from('null');

/** Returns the edits that remove all text of a document or event: of one that a rule blocks. */
export function withoutText({ texts, spelled }: ResponseTexts): readonly Splice[] {
  return [...spelled, ...textRemoved(texts)];
}

/** Returns the edits that remove these texts. */
export function textRemoved(texts: readonly ResponseText[]): readonly Splice[] {
  return texts.map(({ start, end, form, whole }) => ({
    start,
    end,
    bytes: form === 'number' ? NULL : form === 'json' && whole ? EMPTY_ARGUMENTS : EMPTY,
  }));
}
