import type { Splice } from '../../json/splice.ts';
import type { ResponseTexts } from '../text/responses/response-texts.ts';

const EMPTY = new Uint8Array(0);
const EMPTY_ARGUMENTS = Buffer.from('{}');

/** Returns the edits that remove all text of a document or event: of one that a rule blocks. */
export function withoutText({ texts, spelled }: ResponseTexts): readonly Splice[] {
  return [
    ...spelled,
    ...texts.map(({ start, end, form }) => ({ start, end, bytes: form === 'json' ? EMPTY_ARGUMENTS : EMPTY })),
  ];
}
