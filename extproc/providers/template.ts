/**
 * Most events of a stream equal the previous one except for a few values: the delta's text, a
 * sequence number, padding. A template keeps the fixed bytes of an event with its meaning. The next
 * event with the same fixed bytes means the same, and only the differing places (holes) have to be
 * found.
 */

/**
 * A place that differs from event to event: the contents of a string, or a number. Holes are sorted
 * by position.
 */
export interface Hole {
  readonly start: number;
  readonly end: number;
  readonly kind: 'string' | 'number';
}

/**
 * Matching costs as much as comparing the bytes, so longer events gain little, and the memory stays
 * small.
 */
const MAX_TEMPLATE_BYTES = 2048;
const MAX_HOLES = 8;
/** Streams alternate between a few forms: two choices, two kinds of delta. */
const TEMPLATES = 4;

interface Template<Facts> {
  readonly fixed: Uint8Array;
  /** The end of each run of fixed bytes in `fixed`; one more than there are holes. */
  readonly ends: readonly number[];
  readonly numbers: readonly boolean[];
  readonly facts: Facts;
}

export class EventTemplates<Facts> {
  /** After a match: the holes of that event. */
  readonly holeStarts: number[] = new Array(MAX_HOLES).fill(0);
  readonly holeEnds: number[] = new Array(MAX_HOLES).fill(0);
  readonly #templates: (Template<Facts> | undefined)[] = new Array(TEMPLATES).fill(undefined);
  #latest = 0;
  #next = 0;

  /** Returns the facts of an earlier event of the same form. */
  match(bytes: Uint8Array, start: number, end: number): Facts | undefined {
    for (let tried = 0; tried < TEMPLATES; tried++) {
      const index = (this.#latest + tried) % TEMPLATES;
      const template = this.#templates[index];
      if (template !== undefined && this.#matches(template, bytes, start, end)) {
        this.#latest = index;
        return template.facts;
      }
    }
    return undefined;
  }

  learn(bytes: Uint8Array, start: number, end: number, holes: readonly Hole[], facts: Facts): void {
    if (holes.length > MAX_HOLES) {
      return;
    }
    let length = end - start;
    for (const hole of holes) {
      length -= hole.end - hole.start;
    }
    if (length > MAX_TEMPLATE_BYTES) {
      return;
    }
    const fixed = new Uint8Array(length);
    const ends: number[] = [];
    let from = start;
    let written = 0;
    for (const hole of holes) {
      fixed.set(bytes.subarray(from, hole.start), written);
      written += hole.start - from;
      ends.push(written);
      from = hole.end;
    }
    fixed.set(bytes.subarray(from, end), written);
    ends.push(length);
    this.#templates[this.#next] = { fixed, ends, numbers: holes.map((hole) => hole.kind === 'number'), facts };
    this.#latest = this.#next;
    this.#next = (this.#next + 1) % TEMPLATES;
  }

  #matches(template: Template<Facts>, bytes: Uint8Array, start: number, end: number): boolean {
    const { fixed, ends, numbers } = template;
    if (end - start < fixed.length) {
      return false;
    }
    const holes = numbers.length;
    let at = start;
    let index = 0;
    for (let run = 0; run <= holes; run++) {
      const runEnd = ends[run] as number;
      if (at + runEnd - index > end) {
        return false;
      }
      while (index < runEnd) {
        if (bytes[at++] !== fixed[index++]) {
          return false;
        }
      }
      if (run === holes) {
        break;
      }
      this.holeStarts[run] = at;
      at = numbers[run] ? endOfNumber(bytes, at, end) : endOfString(bytes, at, end);
      this.holeEnds[run] = at;
    }
    return at === end;
  }
}

/** Returns the only hole whose channel is that of a text; -1: there is none, or more than one. */
export function onlyTextHole(channels: readonly number[]): number {
  const first = channels.findIndex((channel) => channel >= 0);
  const last = channels.findLastIndex((channel) => channel >= 0);
  return first === last ? first : -1;
}

function endOfString(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const byte = bytes[at];
    if (byte === 0x22) {
      return at;
    }
    at += byte === 0x5c ? 2 : 1;
  }
  return end;
}

function endOfNumber(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte !== 0x2e && byte !== 0x2d && byte !== 0x2b && (byte | 0x20) !== 0x65 && (byte < 0x30 || byte > 0x39)) {
      break;
    }
    at++;
  }
  return at;
}
