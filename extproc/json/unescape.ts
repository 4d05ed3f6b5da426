const HEX_DIGIT = table(
  0,
  [...'0123456789abcdefABCDEF'].map((digit) => [digit, Number.parseInt(digit, 16)]),
);

/**
 * The character that a letter after a backslash stands for; other characters stand for themselves.
 */
const SIMPLE_ESCAPE = table('same', [
  ['b', 0x08],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
]);

/**
 * Decodes raw JSON string contents as UTF-8 into `target` from `at` on, and returns the offset
 * after the last byte. The result is never longer than the input. Unpaired surrogates become
 * U+FFFD, and an escape that is split at the end is left out (see `unfinishedEscape`).
 */
export function unescapeInto(target: Uint8Array, at: number, raw: Uint8Array, start: number, end: number): number {
  let to = at;
  let from = start;
  while (from < end) {
    const byte = raw[from]!;
    if (byte !== 0x5c) {
      target[to++] = byte;
      from++;
      continue;
    }
    const letter = from + 1 < end ? raw[from + 1]! : 0;
    if (letter !== 0x75) {
      if (letter !== 0) {
        target[to++] = SIMPLE_ESCAPE[letter]!;
      }
      from += 2;
      continue;
    }
    if (from + 6 > end) {
      break;
    }
    let code = codeUnit(raw, from);
    from += 6;
    if (code >= 0xd800 && code < 0xdc00) {
      const low = from + 6 <= end && raw[from] === 0x5c && raw[from + 1] === 0x75 ? codeUnit(raw, from) : 0;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        from += 6;
      } else {
        code = 0xfffd;
      }
    } else if (code >= 0xdc00 && code < 0xe000) {
      code = 0xfffd;
    }
    to = writeCodePoint(target, to, code);
  }
  return to;
}

/** Returns the text of one raw string. */
export function unescapedText(raw: Uint8Array, start: number, end: number): string {
  let at = start;
  while (at < end && raw[at] !== 0x5c) {
    at++;
  }
  if (at === end) {
    return text(raw, start, end);
  }
  const target = new Uint8Array(end - start);
  return text(target, 0, unescapeInto(target, 0, raw, start, end));
}

/**
 * Methods of every Node Buffer that work on any Uint8Array. A view per string would cost more than
 * its decoding.
 */
const slices = Buffer.prototype as unknown as {
  readonly utf8Slice: (this: Uint8Array, start: number, end: number) => string;
  readonly latin1Slice: (this: Uint8Array, start: number, end: number) => string;
};

/** Returns UTF-8 bytes as a string. */
export function text(bytes: Uint8Array, start: number, end: number): string {
  return slices.utf8Slice.call(bytes, start, end);
}

/** Returns ASCII bytes as a string. */
export function asciiText(bytes: Uint8Array, start: number, end: number): string {
  return slices.latin1Slice.call(bytes, start, end);
}

/**
 * Returns the number of bytes at the end of raw contents that cannot be decoded yet, because the
 * following bytes decide: a split escape, or the first half of a surrogate pair.
 * Split UTF-8 sequences do not count: they decode byte by byte.
 */
export function unfinishedEscape(raw: Uint8Array, start: number, end: number): number {
  // The longest is `\ud83d\udc0`: 11 bytes. A backslash starts an escape if an even number of
  // backslashes precedes it.
  const earliest = Math.max(start, end - 11);
  for (let at = end - 1; at >= earliest; at--) {
    if (raw[at] !== 0x5c) {
      continue;
    }
    let first = at;
    while (first > start && raw[first - 1] === 0x5c) {
      first--;
    }
    const opens = (at - first) % 2 === 0;
    if (!opens) {
      return 0;
    }
    const length = end - at;
    if (length === 1) {
      return unfinishedHigh(raw, start, at, end);
    }
    if (raw[at + 1] !== 0x75) {
      return 0;
    }
    if (length < 6) {
      return unfinishedHigh(raw, start, at, end);
    }
    if (length > 6) {
      return 0;
    }
    const code = codeUnit(raw, at);
    return code >= 0xd800 && code < 0xdc00 ? 6 : 0;
  }
  return 0;
}

/** An unfinished escape at `at` may be the second half of a pair whose first half precedes it. */
function unfinishedHigh(raw: Uint8Array, start: number, at: number, end: number): number {
  const before = at - 6;
  if (before >= start && raw[before] === 0x5c && raw[before + 1] === 0x75) {
    let first = before;
    while (first > start && raw[first - 1] === 0x5c) {
      first--;
    }
    const code = codeUnit(raw, before);
    if ((before - first) % 2 === 0 && code >= 0xd800 && code < 0xdc00) {
      return end - before;
    }
  }
  return end - at;
}

function codeUnit(raw: Uint8Array, escapeAt: number): number {
  return (
    (HEX_DIGIT[raw[escapeAt + 2]!]! << 12) |
    (HEX_DIGIT[raw[escapeAt + 3]!]! << 8) |
    (HEX_DIGIT[raw[escapeAt + 4]!]! << 4) |
    HEX_DIGIT[raw[escapeAt + 5]!]!
  );
}

function writeCodePoint(target: Uint8Array, at: number, code: number): number {
  let to = at;
  if (code < 0x80) {
    target[to++] = code;
  } else if (code < 0x800) {
    target[to++] = 0xc0 | (code >> 6);
    target[to++] = 0x80 | (code & 0x3f);
  } else if (code < 0x10000) {
    target[to++] = 0xe0 | (code >> 12);
    target[to++] = 0x80 | ((code >> 6) & 0x3f);
    target[to++] = 0x80 | (code & 0x3f);
  } else {
    target[to++] = 0xf0 | (code >> 18);
    target[to++] = 0x80 | ((code >> 12) & 0x3f);
    target[to++] = 0x80 | ((code >> 6) & 0x3f);
    target[to++] = 0x80 | (code & 0x3f);
  }
  return to;
}

function table(otherwise: 'same' | 0, entries: readonly (readonly [char: string, stands: number])[]): Uint8Array {
  const bytes = Uint8Array.from({ length: 256 }, (_, byte) => (otherwise === 'same' ? byte : otherwise));
  for (const [char, stands] of entries) {
    bytes[char.charCodeAt(0)] = stands;
  }
  return bytes;
}
