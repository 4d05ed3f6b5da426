import { type Failure, failure } from '../errors.ts';
import { MAX_DEPTH, MAX_VALUE_BYTES } from './bounds.ts';
import { Carry } from './carry.ts';
import { type CompiledShape, type Members, memberLike, memberOf, type ShapeNode } from './compiled-shape.ts';
import { numberValue } from './number.ts';
import { KIND, type KindNumber, type ScanMatch, ScanResult } from './scan-result.ts';
import type { ScannerOptions } from './scanner.ts';
import type { TextSink } from './text-sink.ts';
import { unescapedText } from './unescape.ts';

/** A container on the path from the root to the current position. */
interface OpenContainer {
  isObject: boolean;
  /** All strings and keys in the container are text. */
  deep: boolean;
  members: Members | undefined;
  items: ShapeNode | undefined;
  level: number;
  /** Index of the current element in the innermost array. */
  element: number;
  place: ScanMatch | undefined;
  /** The shape's node, if the container is to be noted at its end. */
  noted: ShapeNode | undefined;
  keyStart: number;
  start: number;
}

/**
 * Matches tokens against a shape: tracks the position in the shape and records matches in the
 * result.
 */
export class ShapeMatcher {
  readonly result: ScanResult;
  sink: TextSink | undefined;
  /** Length of the earlier pieces: a document offset is `base` plus an offset in the piece. */
  base = 0;
  /** The number of open containers; `in` is the innermost one. */
  depth = 0;
  in: OpenContainer = newContainer();

  readonly #shape: CompiledShape;
  readonly #purpose: NonNullable<ScannerOptions['purpose']>;
  readonly #stack: OpenContainer[] = [this.in];
  /** Bits of the members seen in the enclosing objects, by level of the shape. */
  readonly #seen: Uint32Array;
  // The current key or value.
  #node: ShapeNode | undefined;
  #keyStart = 0;
  #start = 0;
  #isText = false;
  #channel = 0;
  readonly #carry = new Carry();
  /** Whether a split token must be carried to the next piece. */
  #carries = false;

  constructor(shape: CompiledShape, purpose: NonNullable<ScannerOptions['purpose']>) {
    this.#shape = shape;
    this.#purpose = purpose;
    this.result = new ScanResult(shape, purpose);
    this.#seen = new Uint32Array(shape.levels * shape.seenWords);
  }

  reset(): void {
    this.base = 0;
    this.depth = 0;
    this.in = this.#stack[0]!;
    this.#channel = 0;
    this.result.reset();
  }

  beginItem(at: number): void {
    this.in.element++;
    this.#node = this.in.items;
    this.#keyStart = this.base + at;
  }

  beginScalar(at: number): void {
    this.#start = this.base + at;
    this.#isText = false;
    this.#carries = this.#node?.value === true;
    if (this.#carries) {
      this.#carry.clear();
    }
  }

  beginString(at: number): void {
    const node = this.#node;
    this.#start = this.base + at + 1;
    this.#isText = this.in.deep || (node !== undefined && (node.text || node.deepText));
    this.#carries = this.#purpose === 'answer' && node?.value === true;
    if (this.#carries) {
      this.#carry.clear();
    }
    if (this.#isText) {
      this.#channel++;
    }
  }

  beginKey(at: number): void {
    this.#keyStart = this.base + at;
    this.#start = this.base + at + 1;
    this.#isText = this.in.deep;
    this.#carries = this.in.members !== undefined;
    if (this.#carries) {
      this.#carry.clear();
    }
    if (this.#isText) {
      this.#channel++;
    }
    this.result.empty = false;
  }

  /** Handles the end of a piece inside a token. */
  cut(bytes: Uint8Array, to: number): void {
    const from = Math.max(0, this.#start - this.base);
    if (this.#carries) {
      this.#carry.add(bytes, from, to);
    }
    if (this.#isText && from < to) {
      this.sink?.text(this.#channel, bytes, from, to);
    }
  }

  /**
   * Returns whether the token that ends here began in an earlier piece; its bytes are then in
   * `#carry`.
   */
  #wasCut(bytes: Uint8Array, at: number): boolean {
    if (this.#start >= this.base) {
      return false;
    }
    this.#carry.add(bytes, 0, at);
    return true;
  }

  #endText(bytes: Uint8Array, at: number): Failure | undefined {
    const end = this.base + at;
    if (end === this.#start) {
      return undefined;
    }
    this.result.textBytes += end - this.#start;
    if (this.#purpose === 'answer') {
      const from = Math.max(0, this.#start - this.base);
      if (from < at) {
        this.sink?.text(this.#channel, bytes, from, at);
      }
      return undefined;
    }
    return this.result.addSpan(this.#start, end) ? undefined : invalid('has too many strings of text');
  }

  endString(bytes: Uint8Array, at: number): Failure | undefined {
    if (this.#isText) {
      const problem = this.#endText(bytes, at);
      if (problem !== undefined) {
        return problem;
      }
    }
    const node = this.#node;
    if (node === undefined) {
      return undefined;
    }
    let value: string | undefined;
    if (this.#carries) {
      const cut = this.#wasCut(bytes, at);
      const raw = cut ? this.#carry.whole : bytes;
      const start = cut ? 0 : this.#start - this.base;
      const end = cut ? (raw?.length ?? 0) : at;
      if (raw !== undefined && end - start <= MAX_VALUE_BYTES) {
        value = unescapedText(raw, start, end);
      }
    }
    return this.#found(node, KIND.string, this.#start - 1, this.base + at + 1, value);
  }

  endNumber(bytes: Uint8Array, at: number): Failure | undefined {
    const node = this.#node;
    if (node === undefined) {
      return undefined;
    }
    let value: number | undefined;
    if (this.#carries) {
      const cut = this.#wasCut(bytes, at);
      const raw = cut ? this.#carry.whole : bytes;
      const start = cut ? 0 : this.#start - this.base;
      const end = cut ? (raw?.length ?? 0) : at;
      if (raw !== undefined && end - start <= MAX_VALUE_BYTES) {
        value = numberValue(raw, start, end);
      }
    }
    return this.#found(node, KIND.number, this.#start, this.base + at, value);
  }

  endLiteral(literal: 'true' | 'false' | 'null', endInPiece: number): Failure | undefined {
    const node = this.#node;
    if (node === undefined) {
      return undefined;
    }
    const end = this.base + endInPiece;
    if (literal === 'null') {
      return this.#found(node, KIND.null, this.#start, end, undefined);
    }
    return this.#found(node, KIND.boolean, this.#start, end, literal === 'true');
  }

  #found(
    node: ShapeNode,
    kind: KindNumber,
    start: number,
    end: number,
    value: string | number | boolean | undefined,
  ): Failure | undefined {
    this.result.tally(node, kind);
    if (!node.value) {
      return undefined;
    }
    if (this.result.terse) {
      if (this.result.full) {
        return this.#tooMany(node);
      }
      this.result.note(node.slot, kind, this.#keyStart, start, end, this.in.element);
      return undefined;
    }
    this.result.add(node, kind, this.#keyStart, start, end, this.in.element, value);
    return undefined;
  }

  endKey(bytes: Uint8Array, at: number): Failure | undefined {
    this.#node = undefined;
    if (this.#isText) {
      const problem = this.#endText(bytes, at);
      if (problem !== undefined) {
        return problem;
      }
    }
    const members = this.in.members;
    if (members === undefined) {
      return undefined;
    }
    const cut = this.#wasCut(bytes, at);
    const key = cut ? this.#carry.whole : bytes;
    if (key === undefined) {
      return undefined;
    }
    const start = cut ? 0 : this.#start - this.base;
    const end = cut ? key.length : at;
    let index = memberOf(members, key, start, end);
    if (index === -1) {
      index = memberLike(members, key, start, end);
      if (index === -1) {
        return undefined;
      }
      const name = members.names[index]!;
      if (unescapedText(key, start, end) !== name) {
        return this.#purpose === 'request' ? otherCase(name) : undefined;
      }
    }
    if (this.#purpose === 'request') {
      const word = this.in.level * this.#shape.seenWords + (index >> 5);
      const bit = 1 << (index & 31);
      if ((this.#seen[word]! & bit) !== 0) {
        return twice(members.names[index]!);
      }
      this.#seen[word]! |= bit;
    }
    this.#node = members.nodes[index];
    return undefined;
  }

  openDocument(at: number): Failure | undefined {
    this.#node = this.#shape.root;
    this.#keyStart = this.base + at;
    this.result.insertAt = this.base + at + 1;
    return this.open(at, true);
  }

  open(at: number, isObject: boolean): Failure | undefined {
    if (this.depth === MAX_DEPTH) {
      return invalid(`is nested deeper than ${MAX_DEPTH} levels`);
    }
    const node = this.#node;
    const outer = this.in;
    this.depth++;
    if (this.depth === this.#stack.length) {
      this.#stack.push(newContainer());
    }
    const inner = this.#stack[this.depth]!;
    inner.isObject = isObject;
    inner.deep = outer.deep;
    inner.members = undefined;
    inner.items = undefined;
    inner.element = isObject ? outer.element : -1;
    inner.place = undefined;
    inner.noted = undefined;
    if (node !== undefined) {
      inner.deep ||= node.deepText;
      inner.level = node.level;
      if (isObject) {
        inner.members = node.members;
      } else {
        inner.items = node.items;
      }
      const kind = isObject ? KIND.object : KIND.array;
      this.result.tally(node, kind);
      if (node.value) {
        const start = this.base + at;
        if (this.result.terse) {
          if (this.result.full) {
            return this.#tooMany(node);
          }
          inner.noted = node;
          inner.keyStart = this.#keyStart;
          inner.start = start;
        } else {
          inner.place = this.result.add(node, kind, this.#keyStart, start, start, outer.element, undefined);
        }
      }
      const words = this.#shape.seenWords;
      for (let word = 0; word < words; word++) {
        this.#seen[node.level * words + word] = 0;
      }
    }
    this.in = inner;
    return undefined;
  }

  /** Returns true at the end of the document. */
  close(endInPiece: number): boolean {
    const { place, noted, isObject, keyStart, start } = this.in;
    this.depth--;
    this.in = this.#stack[this.depth]!;
    const end = this.base + endInPiece;
    if (place !== undefined) {
      place.end = end;
    } else if (noted !== undefined) {
      const kind = isObject ? KIND.object : KIND.array;
      this.result.note(noted.slot, kind, keyStart, start, end, this.in.element);
    }
    return this.depth === 0;
  }

  #tooMany(node: ShapeNode): Failure {
    return invalid(`has too many values at ${this.#shape.pathBySlot[node.slot]}`);
  }
}

export function invalid(what: string): Failure {
  return failure('invalid_body', `The request body ${what}.`);
}

function twice(name: string): Failure {
  return failure(
    'duplicate_key',
    `The key "${name}" appears twice in one object. JSON parsers differ in which value they use: send the key once.`,
    {
      param: name,
    },
  );
}

function otherCase(name: string): Failure {
  return failure(
    'duplicate_key',
    `A key differs from "${name}" only in case, which some JSON parsers ignore: write "${name}".`,
    {
      param: name,
    },
  );
}

function newContainer(): OpenContainer {
  return {
    isObject: false,
    deep: false,
    members: undefined,
    items: undefined,
    level: 0,
    element: -1,
    place: undefined,
    noted: undefined,
    keyStart: 0,
    start: 0,
  };
}
