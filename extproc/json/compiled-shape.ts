import type { JsonScanner, ScannerOptions } from './scanner.ts';
import type { Shape } from './shape.ts';
import { unescapedText } from './unescape.ts';

/**
 * A shape with its members in a hash table over bytes, so that keys are found without creating
 * strings.
 */
export interface CompiledShape {
  readonly root: ShapeNode;
  readonly slotByPath: ReadonlyMap<string, number>;
  readonly pathBySlot: readonly string[];
  readonly levels: number;
  /** 32-bit words that hold one bit for each member of the largest object. */
  readonly seenWords: number;
  /**
   * Scanners to reuse: their tables are expensive to create, and memory outside of V8's heap
   * triggers collections.
   */
  readonly idle: Readonly<Record<Purpose, JsonScanner[]>>;
}

export type Purpose = NonNullable<ScannerOptions['purpose']>;

export interface ShapeNode {
  readonly slot: number;
  /** Steps from the root. */
  readonly level: number;
  readonly value: boolean;
  readonly text: boolean;
  readonly deepText: boolean;
  readonly members: Members | undefined;
  readonly items: ShapeNode | undefined;
}

export interface Members {
  readonly names: readonly string[];
  readonly nodes: readonly ShapeNode[];
  readonly nameBytes: readonly Uint8Array[];
  /** Member numbers by `keyHash` & mask. */
  readonly buckets: readonly (readonly number[])[];
  readonly mask: number;
  /** Member numbers by folded name. */
  readonly folded: ReadonlyMap<string, number>;
  /**
   * Length of the longest key that can be one of the names, with each character written as
   * `\uXXXX`.
   */
  readonly maxKeyBytes: number;
}

const compiled = new WeakMap<Shape, CompiledShape>();

export function compiledShape(shape: Shape): CompiledShape {
  let result = compiled.get(shape);
  if (result === undefined) {
    result = compile(shape);
    compiled.set(shape, result);
  }
  return result;
}

function compile(shape: Shape): CompiledShape {
  const slotByPath = new Map<string, number>();
  const pathBySlot: string[] = [];
  let levels = 0;
  let mostMembers = 0;

  const node = (of: Shape, path: string, level: number): ShapeNode => {
    const slot = pathBySlot.push(path) - 1;
    slotByPath.set(path, slot);
    levels = Math.max(levels, level + 1);
    const entries = Object.entries(of.object ?? {});
    mostMembers = Math.max(mostMembers, entries.length);
    const nodes = entries.map(([name, child]) => node(child, path === '' ? name : `${path}.${name}`, level + 1));
    return {
      slot,
      level,
      value: of.value === true,
      text: of.text === true,
      deepText: of.deepText === true,
      members:
        entries.length === 0
          ? undefined
          : members(
              entries.map(([name]) => name),
              nodes,
            ),
      items: of.items === undefined ? undefined : node(of.items, `${path}[]`, level + 1),
    };
  };

  const root = node(shape, '', 0);
  return {
    root,
    slotByPath,
    pathBySlot,
    levels,
    seenWords: Math.ceil(mostMembers / 32),
    idle: { request: [], answer: [] },
  };
}

function members(names: readonly string[], nodes: readonly ShapeNode[]): Members {
  const mask = 2 ** Math.ceil(Math.log2(names.length * 4)) - 1;
  const buckets: number[][] = Array.from({ length: mask + 1 }, () => []);
  const nameBytes = names.map((name) => {
    if (!/^[\x20-\x7e]{1,160}$/.test(name)) {
      throw new Error(`a shape can only name short ASCII keys, not ${name}`);
    }
    return Buffer.from(name, 'latin1');
  });
  nameBytes.forEach((bytes, index) => {
    buckets[keyHash(bytes, 0, bytes.length) & mask]!.push(index);
  });
  return {
    names,
    nodes,
    nameBytes,
    buckets,
    mask,
    folded: new Map(names.map((name, index) => [foldedKey(name), index])),
    maxKeyBytes: 6 * Math.max(...names.map((name) => name.length)),
  };
}

/** Equal for keys that differ only in the case of ASCII letters. */
function keyHash(bytes: Uint8Array, start: number, end: number): number {
  return (end - start) * 7 + (bytes[start]! | 0x20) * 31 + (bytes[end - 1]! | 0x20) * 17;
}

/** Returns the member with exactly this name, or -1. */
export function memberOf(members: Members, bytes: Uint8Array, start: number, end: number): number {
  if (end === start) {
    return -1;
  }
  const bucket = members.buckets[keyHash(bytes, start, end) & members.mask]!;
  const length = end - start;
  for (let at = 0; at < bucket.length; at++) {
    const index = bucket[at]!;
    const name = members.nameBytes[index]!;
    if (name.length !== length) {
      continue;
    }
    let same = 0;
    while (same < length && name[same] === bytes[start + same]) {
      same++;
    }
    if (same === length) {
      return index;
    }
  }
  return -1;
}

/** Returns the member whose name the key matches through escapes or in another case, or -1. */
export function memberLike(members: Members, bytes: Uint8Array, start: number, end: number): number {
  if (end - start > members.maxKeyBytes || end === start) {
    return -1;
  }
  for (let at = start; at < end; at++) {
    if (bytes[at]! >= 0x80 || bytes[at] === 0x5c) {
      return members.folded.get(foldedKey(unescapedText(bytes, start, end))) ?? -1;
    }
  }
  const bucket = members.buckets[keyHash(bytes, start, end) & members.mask]!;
  for (let at = 0; at < bucket.length; at++) {
    const name = members.nameBytes[bucket[at]!]!;
    if (name.length === end - start && sameLetters(name, bytes, start)) {
      return bucket[at]!;
    }
  }
  return -1;
}

/** Compares names, ignoring the case of ASCII letters. */
function sameLetters(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < name.length; at++) {
    const one = name[at]!;
    const difference = one ^ bytes[start + at]!;
    const letter = one | 0x20;
    if (difference !== 0 && (difference !== 0x20 || letter < 0x61 || letter > 0x7a)) {
      return false;
    }
  }
  return true;
}

/**
 * Folds a key as Go's encoding/json does for ASCII names: simple case folding, in which U+017F
 * (long s) equals s and U+212A (kelvin sign) equals k.
 * JavaScript's lower case would also fold characters that Go distinguishes from ASCII.
 */
export function foldedKey(key: string): string {
  return key.replace(/[A-Z\u017f\u212a]/g, (letter) =>
    letter === '\u017f' ? 's' : letter === '\u212a' ? 'k' : letter.toLowerCase(),
  );
}
