/**
 * The difference between the texts of two policies, by lines. Most changes of a large policy change
 * one line: of 10,000 API keys, one changed key is in one of 256 lines.
 */

/** A part of the new text, in order. */
export type ContentPiece =
  /** Lines of the old text. */
  | { readonly type: 'Kept'; readonly first: number; readonly count: number }
  /** One or more new lines, without the last line end. */
  | { readonly type: 'New'; readonly text: Uint8Array };

const LINE_END = 0x0a;
const lineEnd = Buffer.from('\n');

/** Returns the pieces that make `after` from `before`. */
export function changesBetween(before: Buffer, after: Buffer): readonly ContentPiece[] {
  const [old, now] = [newLines(before), newLines(after)];
  const places = new Map<string, number>();
  for (let place = 0; place < old.count; place++) {
    places.set(textOf(before, old, place), place);
  }
  const pieces: ContentPiece[] = [];
  for (let line = 0; line < now.count; ) {
    const first = places.get(textOf(after, now, line));
    let end = line + 1;
    if (first === undefined) {
      while (end < now.count && !places.has(textOf(after, now, end))) {
        end++;
      }
      pieces.push({ type: 'New', text: after.subarray(now.start(line), now.end(end - 1)) });
    } else {
      while (end < now.count && places.get(textOf(after, now, end)) === first + end - line) {
        end++;
      }
      pieces.push({ type: 'Kept', first, count: end - line });
    }
    line = end;
  }
  return pieces;
}

/** Returns the new text. Throws if a piece does not fit to `before`. */
export function withChanges(before: Buffer, pieces: readonly ContentPiece[]): Buffer {
  const old = newLines(before);
  const parts = pieces.flatMap((piece, index) => {
    const part = piece.type === 'New' ? piece.text : keptLines(before, old, piece.first, piece.count);
    return index === 0 ? [part] : [lineEnd, part];
  });
  return Buffer.concat(parts);
}

function keptLines(content: Buffer, lines: Lines, first: number, count: number): Uint8Array {
  if (count < 1 || first + count > lines.count) {
    throw new Error(`lines ${first} to ${first + count} of the last policy do not exist`);
  }
  return content.subarray(lines.start(first), lines.end(first + count - 1));
}

interface Lines {
  readonly count: number;
  /** Places in bytes; the end is before the line end. */
  start(line: number): number;
  end(line: number): number;
}

function newLines(content: Buffer): Lines {
  const ends: number[] = [];
  for (let place = content.indexOf(LINE_END); place !== -1; place = content.indexOf(LINE_END, place + 1)) {
    ends.push(place);
  }
  ends.push(content.length);
  return {
    count: ends.length,
    start: (line) => (line === 0 ? 0 : ends[line - 1]! + 1),
    end: (line) => ends[line]!,
  };
}

function textOf(content: Buffer, lines: Lines, line: number): string {
  return content.toString('latin1', lines.start(line), lines.end(line));
}
