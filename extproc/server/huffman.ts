/**
 * HPACK's Huffman code (RFC 7541, appendix B), decoded bit by bit: only new header blocks are
 * decoded.
 */

/**
 * Code lengths in bits of octets 0 to 255, in rows of 32. The code is canonical, so the lengths
 * define it.
 */
const LENGTHS = [
  '13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28',
  '6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10',
  '13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6',
  '15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28',
  '20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24',
  '22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23',
  '26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27',
  '20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26',
]
  .join(' ')
  .split(' ')
  .map(Number);

const LONGEST_BITS = 30;

/** The number of codes of each length, and the octets in code order. */
const counts = new Uint16Array(LONGEST_BITS + 1);
for (const length of LENGTHS) {
  counts[length]!++;
}
const octets = Uint8Array.from(
  LENGTHS.keys()
    .toArray()
    .toSorted((a, b) => LENGTHS[a]! - LENGTHS[b]! || a - b),
);

/**
 * Returns the decoded bytes as latin1, or undefined for an invalid code or for padding other than
 * up to seven ones.
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  let code = 0;
  let length = 0;
  let firstOfLength = 0;
  let indexOfFirst = 0;
  let allOnes = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    for (let bit = 7; bit >= 0; bit--) {
      const one = (byte >>> bit) & 1;
      length++;
      if (length > LONGEST_BITS) {
        return undefined;
      }
      code = code * 2 + one;
      firstOfLength *= 2;
      if (one === 0) {
        allOnes = false;
      }
      const count = counts[length]!;
      if (code - firstOfLength < count) {
        text += String.fromCharCode(octets[indexOfFirst + code - firstOfLength]!);
        code = 0;
        length = 0;
        firstOfLength = 0;
        indexOfFirst = 0;
        allOnes = true;
      } else {
        firstOfLength += count;
        indexOfFirst += count;
      }
    }
  }
  return allOnes && length < 8 ? text : undefined;
}
