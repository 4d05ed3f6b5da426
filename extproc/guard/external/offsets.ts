/** Offsets of detectors: most count Unicode code points, JavaScript counts UTF-16 code units. */

const surrogate = /[\ud800-\udfff]/;

/**
 * Returns a function from offsets in code points to offsets in UTF-16 code units, or to undefined
 * outside of the text. A lone surrogate is a code point, as in Python.
 */
export function codePointOffsets(text: string): (offset: number) => number | undefined {
  if (!surrogate.test(text)) {
    return (offset) => (offset >= 0 && offset <= text.length ? offset : undefined);
  }
  const offsets = new Uint32Array(text.length + 1);
  let points = 0;
  for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xff_ff ? 2 : 1) {
    offsets[points++] = at;
  }
  offsets[points] = text.length;
  return (offset) => (offset >= 0 && offset <= points ? offsets[offset] : undefined);
}
