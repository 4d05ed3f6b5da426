/** Shared parts of request reading: bounded scalars, kinds of URLs, and messages about problems. */
import { type Failure, failure } from '../errors.ts';
import type { JsonMatch, ScannedBody } from '../json/scanner.ts';

/** Names of models are written to headers, metrics and records. */
export const MAX_MODEL_BYTES = 256;

/** Treats null as absent, like the providers. */
export function present(found: JsonMatch | undefined): JsonMatch | undefined {
  return found === undefined || found.kind === 'null' ? undefined : found;
}

/**
 * Reads members of one body. The first problem is kept in `problem`; values that are read
 * afterwards have no meaning.
 */
export class BodyFields {
  problem: Failure | undefined;
  readonly #body: ScannedBody;

  constructor(body: ScannedBody) {
    this.#body = body;
  }

  model(): string {
    const found = this.#body.one('model');
    if (found === undefined) {
      this.problem ??= failure('missing_model', 'The body has no `model`; name one.', { param: 'model' });
      return '';
    }
    const { kind, value } = found;
    if (kind !== 'string') {
      this.#invalid('model', 'must be a string');
    } else if (byteLength(found) - 2 > MAX_MODEL_BYTES) {
      this.#invalid('model', `is longer than ${MAX_MODEL_BYTES} bytes`);
    } else if (value === '') {
      this.#invalid('model', 'is empty; name a model');
    }
    return typeof value === 'string' ? value : '';
  }

  flag(path: string): boolean {
    const found = present(this.#body.one(path));
    if (found !== undefined && found.kind !== 'boolean') {
      this.#invalid(path, 'must be true or false');
    }
    return found?.value === true;
  }

  /** Reads a text; undefined if it is absent or of another kind, which the provider refuses. */
  text(path: string): string | undefined {
    const value = present(this.#body.one(path))?.value;
    return typeof value === 'string' ? value : undefined;
  }

  /** Reads an integer within bounds; undefined if it is absent or null. */
  count(path: string, least: number, most: number): number | undefined {
    const found = present(this.#body.one(path));
    if (found === undefined) {
      return undefined;
    }
    const { value } = found;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    const range = most === MAX_TOKENS ? `of at least ${least}` : `from ${least} to ${most}`;
    this.#invalid(path, `must be a whole number ${range}`);
    return undefined;
  }

  /**
   * Reads a bound on tokens. Invalid bounds (negative, fractional, below the minimum of the API)
   * count as absent: the provider has its own message for them, and some read -1 as no bound.
   */
  bound(path: string, least: number): number | undefined {
    const found = present(this.#body.one(path));
    if (found === undefined) {
      return undefined;
    }
    const { kind, value } = found;
    if (kind !== 'number') {
      this.#invalid(path, 'must be a number');
    }
    const usable = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= MAX_TOKENS;
    return usable ? value : undefined;
  }

  #invalid(path: string, what: string): void {
    this.problem ??= invalid(path, what);
  }
}

/** Bounds above any model's context are no bounds. */
export const MAX_TOKENS = 2 ** 40;

/** The most choices that one request may ask for (OpenAI's own limit for `n`). */
export const MAX_CHOICES = 128;

export function invalid(path: string, what: string): Failure {
  return failure('invalid_value', `\`${path}\` ${what}.`, { param: path });
}

/** Returns the first bytes of a string value, without its quote. */
function stringStart(body: ScannedBody, found: JsonMatch, length: number): string {
  let skipped = 0;
  const from = found.start + 1;
  const to = Math.min(from + length, found.end - 1);
  let text = '';
  for (const piece of body.bytes) {
    const pieceEnd = skipped + piece.length;
    if (pieceEnd > from) {
      text += Buffer.from(piece.subarray(Math.max(0, from - skipped), Math.max(0, to - skipped))).toString('latin1');
      if (pieceEnd >= to) {
        break;
      }
    }
    skipped = pieceEnd;
  }
  return text;
}

/** Whether a URL contains its own data (`data:`); the provider fetches all others. */
export function isDataUrl(body: ScannedBody, found: JsonMatch): boolean {
  return stringStart(body, found, 5).toLowerCase() === 'data:';
}

/**
 * Whether inline data is an address instead, which some providers accept. Base64 has no colon, and
 * its only escape is that of a slash.
 */
export function isRemote(body: ScannedBody, found: JsonMatch): boolean {
  if (found.kind !== 'string' || isDataUrl(body, found)) {
    return false;
  }
  return /^\s*[a-z][a-z0-9+.-]*:|\\(?!\/)/i.test(stringStart(body, found, 64));
}

/** Returns whether the value contains `://`, or an escape that may hide it. */
const ADDRESS_MARKS: readonly Buffer[] = ['://', '\\u', '\\/'].map((mark) => Buffer.from(mark));

/** Unknown parts that are searched for addresses; with more parts, one is assumed. */
const MAX_SEARCHED_PARTS = 32;

/** Returns the number of parts with unknown types, and whether one of them may name an address. */
export function unknownParts(
  body: ScannedBody,
  at: string,
  known: ReadonlySet<unknown>,
): { readonly count: number; readonly remote: boolean } {
  const types = body.all(`${at}.type`).filter(({ value }) => !known.has(value));
  if (types.length === 0) {
    return { count: 0, remote: false };
  }
  const parts = body.all(at);
  let place = 0;
  let remote = types.length > MAX_SEARCHED_PARTS;
  for (const { keyStart } of types) {
    if (remote) {
      break;
    }
    while (place < parts.length && parts[place]!.end <= keyStart) {
      place++;
    }
    const part = parts[place];
    remote = part === undefined || mayNameAddress(body, part);
  }
  return { count: types.length, remote };
}

function mayNameAddress(body: ScannedBody, { start, end }: JsonMatch): boolean {
  const kept: Uint8Array[] = [];
  let skipped = 0;
  for (const piece of body.bytes) {
    const pieceEnd = skipped + piece.length;
    if (pieceEnd > start) {
      kept.push(piece.subarray(Math.max(0, start - skipped), end - skipped));
    }
    if (pieceEnd >= end) {
      break;
    }
    skipped = pieceEnd;
  }
  const bytes = Buffer.concat(kept);
  return ADDRESS_MARKS.some((mark) => bytes.includes(mark));
}

export function byteLength(found: JsonMatch): number {
  return found.end - found.start;
}

/** Whether the value is not null, false or empty. */
export function isSet(found: JsonMatch | undefined): boolean {
  if (found === undefined || found.kind === 'null' || found.value === false) {
    return false;
  }
  return !((found.kind === 'array' || found.kind === 'object' || found.kind === 'string') && byteLength(found) <= 2);
}
