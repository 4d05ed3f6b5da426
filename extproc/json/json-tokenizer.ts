import type { Failure } from '../errors.ts';
import { MAX_IDLE_SCANNERS } from './bounds.ts';
import { type CompiledShape, compiledShape } from './compiled-shape.ts';
import { NUMBER_ENDS, NUMBER_NEXT, numberBegins, numberMayEnd } from './number.ts';
import type { JsonMatch, JsonScanner, Kind, ScannedBody, ScannerOptions } from './scanner.ts';
import type { Shape } from './shape.ts';
import { invalid, ShapeMatcher } from './shape-matcher.ts';
import { loadString, MAX_SKIPPED_BYTES, skipString } from './skip-string.ts';
import type { TextSink } from './text-sink.ts';
import { Utf8Check } from './utf8.ts';

// Tokenizer states. The order matters: from STRING to NUMBER a token is open, which the end of a
// piece may split.
const DOCUMENT = 0;
const FIRST_KEY = 1;
const KEY = 2;
const COLON = 3;
const VALUE = 4;
const FIRST_ITEM = 5;
const AFTER_VALUE = 6;
const DONE = 7;
const STRING = 8;
const ESCAPE = 9;
const HEX = 10;
const LITERAL = 11;
const NUMBER = 12;

interface Literal {
  readonly name: 'true' | 'false' | 'null';
  readonly bytes: Uint8Array;
}

const LITERALS = {
  true: { name: 'true', bytes: Buffer.from('true') },
  false: { name: 'false', bytes: Buffer.from('false') },
  null: { name: 'null', bytes: Buffer.from('null') },
} as const satisfies Record<string, Literal>;

/** Below this length, copying a piece costs more than a loop over its strings. */
const LEAST_SKIPPED_BYTES = 1024;

const UTF_16 = invalid('is not UTF-8: it looks like UTF-16 or UTF-32');

/** A resumable JSON tokenizer with an explicit stack, which reads each byte once. */
export class JsonTokenizer implements JsonScanner {
  readonly #shape: CompiledShape;
  readonly #purpose: NonNullable<ScannerOptions['purpose']>;
  readonly #matcher: ShapeMatcher;
  readonly #utf8 = new Utf8Check();
  #failed: Failure | undefined;
  #state = DOCUMENT;
  /** State of an open string. */
  #inKey = false;
  #hexLeft = 0;
  #numberPlace = 0;
  #literal: Literal = LITERALS.null;
  #literalAt = 0;

  constructor(shape: CompiledShape, purpose: NonNullable<ScannerOptions['purpose']>) {
    this.#shape = shape;
    this.#purpose = purpose;
    this.#matcher = new ShapeMatcher(shape, purpose);
  }

  all(path: string): readonly JsonMatch[] {
    return this.#matcher.result.all(path);
  }

  one(path: string): JsonMatch | undefined {
    return this.#matcher.result.one(path);
  }

  count(path: string, kind?: Kind): number {
    return this.#matcher.result.count(path, kind);
  }

  push(bytes: Uint8Array, sink?: TextSink): Failure | undefined {
    if (this.#failed !== undefined || bytes.length === 0) {
      return this.#failed;
    }
    const matcher = this.#matcher;
    if (this.#purpose === 'request') {
      matcher.result.kept.add(bytes);
    }
    matcher.sink = sink;
    this.#failed = this.#take(bytes);
    matcher.sink = undefined;
    matcher.base += bytes.length;
    return this.#failed;
  }

  get keptBytes(): number {
    return this.#matcher.result.keptBytes;
  }

  finish(): ScannedBody | Failure {
    if (this.#failed === undefined && this.#state !== DONE) {
      this.#failed = invalid(
        this.#state === DOCUMENT ? 'is empty: send a JSON object' : 'ends before its JSON object is complete',
      );
    }
    return this.#failed ?? this.#matcher.result;
  }

  release(): void {
    if (this.#matcher.result.grown) {
      return;
    }
    this.#failed = undefined;
    this.#state = DOCUMENT;
    this.#utf8.reset();
    this.#matcher.reset();
    const idle = this.#shape.idle[this.#purpose];
    if (idle.length < MAX_IDLE_SCANNERS) {
      idle.push(this);
    }
  }

  #take(bytes: Uint8Array): Failure | undefined {
    if (this.#state === DOCUMENT) {
      const first = bytes[0]!;
      if (first === 0xef) {
        return invalid('begins with a byte order mark: send UTF-8 without one');
      }
      if (first === 0 || first >= 0xfe) {
        return UTF_16;
      }
    }
    if (!this.#utf8.push(bytes, 0, bytes.length)) {
      return invalid('is not valid UTF-8');
    }
    return this.#run(bytes);
  }

  /** The hot loop of every request body and unary answer. */
  // biome-ignore lint/complexity/noExcessiveLinesPerFunction: one switch with local state.
  #run(bytes: Uint8Array): Failure | undefined {
    const to = bytes.length;
    const matcher = this.#matcher;
    let state = this.#state;
    let at = 0;
    const skips = to >= LEAST_SKIPPED_BYTES && to <= MAX_SKIPPED_BYTES;
    if (skips) {
      loadString(bytes);
    }
    while (at < to) {
      let byte = bytes[at]!;
      if (state === STRING) {
        if (skips) {
          at = skipString(at, to);
          byte = bytes[at]!;
        } else {
          while (byte !== 0x22 && byte !== 0x5c && byte >= 0x20 && ++at < to) {
            byte = bytes[at]!;
          }
        }
        if (at === to) {
          break;
        }
        if (byte < 0x20) {
          return this.#unexpected(at, byte);
        }
        if (byte === 0x5c) {
          state = ESCAPE;
        } else {
          const problem = this.#inKey ? matcher.endKey(bytes, at) : matcher.endString(bytes, at);
          if (problem !== undefined) {
            return problem;
          }
          if (!this.#inKey) {
            state = AFTER_VALUE;
          } else if (at + 1 < to && bytes[at + 1] === 0x3a) {
            at++;
            state = VALUE;
          } else {
            state = COLON;
          }
        }
        at++;
        continue;
      }
      if (state === NUMBER) {
        let place = this.#numberPlace;
        let next = NUMBER_NEXT[place * 256 + byte]!;
        while (next !== NUMBER_ENDS) {
          place = next;
          if (++at === to) {
            break;
          }
          next = NUMBER_NEXT[place * 256 + bytes[at]!]!;
        }
        this.#numberPlace = place;
        if (at === to) {
          break;
        }
        if (!numberMayEnd(place)) {
          return this.#unexpected(at, bytes[at]!);
        }
        const problem = matcher.endNumber(bytes, at);
        if (problem !== undefined) {
          return problem;
        }
        state = AFTER_VALUE;
        continue;
      }
      if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
        if (state >= STRING) {
          return this.#unexpected(at, byte);
        }
        at++;
        continue;
      }
      switch (state) {
        case AFTER_VALUE:
          if (byte === 0x2c) {
            state = matcher.in.isObject ? KEY : VALUE;
          } else if (byte === (matcher.in.isObject ? 0x7d : 0x5d)) {
            state = matcher.close(at + 1) ? DONE : AFTER_VALUE;
          } else {
            return this.#unexpected(at, byte);
          }
          break;
        case FIRST_KEY:
        case KEY:
          if (byte === 0x22) {
            matcher.beginKey(at);
            this.#inKey = true;
            state = STRING;
          } else if (byte === 0x7d && state === FIRST_KEY) {
            state = matcher.close(at + 1) ? DONE : AFTER_VALUE;
          } else {
            return this.#unexpected(at, byte);
          }
          break;
        case COLON:
          if (byte !== 0x3a) {
            return this.#unexpected(at, byte);
          }
          state = VALUE;
          break;
        case FIRST_ITEM:
        case VALUE:
          if (byte === 0x5d && state === FIRST_ITEM) {
            state = matcher.close(at + 1) ? DONE : AFTER_VALUE;
            break;
          }
          if (!matcher.in.isObject) {
            matcher.beginItem(at);
          }
          if (byte === 0x22) {
            matcher.beginString(at);
            this.#inKey = false;
            state = STRING;
          } else if (byte === 0x7b || byte === 0x5b) {
            const problem = matcher.open(at, byte === 0x7b);
            if (problem !== undefined) {
              return problem;
            }
            state = byte === 0x7b ? FIRST_KEY : FIRST_ITEM;
          } else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) {
            matcher.beginScalar(at);
            this.#numberPlace = numberBegins(byte);
            state = NUMBER;
          } else if (byte === 0x74 || byte === 0x66 || byte === 0x6e) {
            matcher.beginScalar(at);
            this.#literal = byte === 0x74 ? LITERALS.true : byte === 0x66 ? LITERALS.false : LITERALS.null;
            this.#literalAt = 1;
            state = LITERAL;
          } else {
            return this.#unexpected(at, byte);
          }
          break;
        case ESCAPE:
          if (byte === 0x75) {
            this.#hexLeft = 4;
            state = HEX;
          } else if (isSimpleEscape(byte)) {
            state = STRING;
          } else {
            return this.#unexpected(at, byte);
          }
          break;
        case HEX:
          if (!isHexDigit(byte)) {
            return this.#unexpected(at, byte);
          }
          if (--this.#hexLeft === 0) {
            state = STRING;
          }
          break;
        case LITERAL:
          if (byte !== this.#literal.bytes[this.#literalAt]) {
            return this.#unexpected(at, byte);
          }
          if (++this.#literalAt === this.#literal.bytes.length) {
            const problem = matcher.endLiteral(this.#literal.name, at + 1);
            if (problem !== undefined) {
              return problem;
            }
            state = AFTER_VALUE;
          }
          break;
        case DOCUMENT: {
          if (byte !== 0x7b) {
            return invalid('must be a JSON object');
          }
          const problem = matcher.openDocument(at);
          if (problem !== undefined) {
            return problem;
          }
          state = FIRST_KEY;
          break;
        }
        default:
          return invalid(`has data after its JSON object, at byte ${matcher.base + at}`);
      }
      at++;
    }
    this.#state = state;
    if (state >= STRING) {
      matcher.cut(bytes, to);
    }
    return undefined;
  }

  #unexpected(at: number, byte: number): Failure {
    // A zero beside ASCII is typical for other encodings.
    if (byte === 0) {
      return UTF_16;
    }
    return invalid(`is not valid JSON: unexpected byte at offset ${this.#matcher.base + at}`);
  }
}

function isSimpleEscape(byte: number): boolean {
  return (
    byte === 0x22 ||
    byte === 0x5c ||
    byte === 0x2f ||
    byte === 0x62 ||
    byte === 0x66 ||
    byte === 0x6e ||
    byte === 0x72 ||
    byte === 0x74
  );
}

function isHexDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

/**
 * Returns a scanner for documents of this shape. Shapes are module constants: each is compiled
 * once.
 */
export function newScanner(shape: Shape, options: ScannerOptions = {}): JsonScanner {
  const compiled = compiledShape(shape);
  const purpose = options.purpose ?? 'request';
  return compiled.idle[purpose].pop() ?? new JsonTokenizer(compiled, purpose);
}
