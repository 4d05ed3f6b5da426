/** Helpers for the tests of this room. */
import fc from 'fast-check';
import { isFailure } from '../errors.ts';
import { newScanner } from './json-tokenizer.ts';
import type { JsonScanner, MatchesByPath, ScannedBody, ScannerOptions } from './scanner.ts';
import type { Shape } from './shape.ts';

/** Returns `bytes` in pieces, cut at these offsets (modulo the length). */
export function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((one, other) => one - other);
  const result: Uint8Array[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    // Copies, so that an offset in a piece never equals one in the whole by chance.
    result.push(Uint8Array.from(bytes.subarray(from, place)));
    from = place;
  }
  return result;
}

export function everyByte(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}

export const cuts = fc.array(fc.nat(), { maxLength: 12 });

export function pushAll(scanner: JsonScanner, parts: readonly Uint8Array[]): ReturnType<JsonScanner['finish']> {
  for (const part of parts) {
    const problem = scanner.push(part);
    if (problem !== undefined) {
      return problem;
    }
  }
  return scanner.finish();
}

export function scanned(shape: Shape, text: string | Uint8Array, options?: ScannerOptions): ScannedBody {
  const body = pushAll(newScanner(shape, options), [Buffer.from(text as string)]);
  if (isFailure(body)) {
    throw new Error(body.message);
  }
  return body;
}

export function spansOf(body: ScannedBody): (readonly [start: number, end: number])[] {
  const list: (readonly [number, number])[] = [];
  for (const spans = body.textSpans(); spans.next(); ) {
    list.push([spans.start, spans.end]);
  }
  return list;
}

/** Returns all matches in a form to compare. */
export function summary(found: MatchesByPath, paths: readonly string[]): object {
  return Object.fromEntries(
    paths.map((path) => [
      path,
      {
        count: found.count(path),
        found: found.all(path).map(({ keyStart, start, end, kind, value, element }) => {
          return { keyStart, start, end, kind, value, element };
        }),
      },
    ]),
  );
}
