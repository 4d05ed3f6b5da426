/** A form that was read, with its fields as matches by their names. */
import { type Failure, failure } from '../errors.ts';
import { MAX_VALUE_BYTES } from './bounds.ts';
import type { ByteBuffer } from './byte-buffer.ts';
import type { JsonMatch, Kind, ScannedBody, SpanReader } from './scanner.ts';

/** What a field contains. `text` is what the provider tokenizes; other fields are ignored. */
export type FormFields = Readonly<Record<string, 'value' | 'text' | 'number' | 'flag' | 'file'>>;

/** One part by the place of its content. */
export interface FormPart {
  readonly name: string;
  readonly isFile: boolean;
  readonly start: number;
  readonly end: number;
}

class FormBody implements ScannedBody {
  readonly insertAt = 0;
  readonly empty = false;
  readonly textBytes: number;
  readonly #kept: ByteBuffer;
  readonly #matches: ReadonlyMap<string, readonly JsonMatch[]>;
  readonly #texts: readonly JsonMatch[];

  constructor(kept: ByteBuffer, matches: ReadonlyMap<string, readonly JsonMatch[]>, texts: readonly JsonMatch[]) {
    this.#kept = kept;
    this.#matches = matches;
    this.#texts = texts;
    this.textBytes = texts.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  get bytes(): readonly Uint8Array[] {
    return this.#kept.pieces;
  }

  all(path: string): readonly JsonMatch[] {
    return this.#matches.get(path) ?? [];
  }

  one(path: string): JsonMatch | undefined {
    return this.all(path).at(-1);
  }

  count(path: string, kind?: Kind): number {
    return this.all(path).filter((match) => kind === undefined || match.kind === kind).length;
  }

  textSpans(): SpanReader {
    return new TextSpans(this.#texts.filter(({ start, end }) => end > start));
  }
}

/** Returns a failure where a field is there twice, or is not what it should be. */
export function formBody(fields: FormFields, parts: readonly FormPart[], kept: ByteBuffer): ScannedBody | Failure {
  const matches = new Map<string, JsonMatch[]>();
  const texts: JsonMatch[] = [];
  for (const part of parts) {
    const { name, isFile } = part;
    const type = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const problem = type === 'file' ? undefined : problemOf(part, fields, matches.has(name));
    if (problem !== undefined) {
      return problem;
    }
    if (type === undefined) {
      continue;
    }
    const match = isFile ? placeOf(part) : fieldValue(part, type, kept);
    matches.set(name, [...(matches.get(name) ?? []), match]);
    if (type === 'text') {
      texts.push(match);
    }
  }
  return new FormBody(kept, matches, texts);
}

class TextSpans implements SpanReader {
  start = 0;
  end = 0;
  readonly #texts: readonly JsonMatch[];
  #index = 0;

  constructor(texts: readonly JsonMatch[]) {
    this.#texts = texts;
  }

  next(): boolean {
    const text = this.#texts[this.#index++];
    this.start = text?.start ?? this.end;
    this.end = text?.end ?? this.end;
    return text !== undefined;
  }
}

/** Some parsers ignore case, or read `model[]` as `model`; HTML's `_charset_` changes them all. */
function problemOf({ name, isFile }: FormPart, fields: FormFields, isRepeated: boolean): Failure | undefined {
  const folded = name.toLowerCase().replace(/\[.*$/s, '').trim();
  const isKnown = Object.hasOwn(fields, name);
  if (isRepeated || (!isKnown && Object.hasOwn(fields, folded) && fields[folded] !== 'file')) {
    return failure('duplicate_key', `The form has \`${folded}\` twice, or in another spelling. Send it once.`);
  }
  if (folded === '_charset_' || (isKnown && isFile)) {
    return failure('invalid_value', `\`${folded}\` in the form must be plain text in UTF-8.`, { param: folded });
  }
  return undefined;
}

function placeOf({ start, end }: FormPart): JsonMatch {
  return { keyStart: start, start, end, kind: 'string', value: undefined, element: -1 };
}

function fieldValue(part: FormPart, type: FormFields[string], kept: ByteBuffer): JsonMatch {
  const { start, end } = part;
  const place = placeOf(part);
  if (end - start > MAX_VALUE_BYTES || type === 'text' || type === 'file') {
    return place;
  }
  const text = Buffer.from(end === start ? '' : kept.slice(start, end)!).toString();
  if (type === 'number' && /^\d{1,15}$/.test(text)) {
    return { ...place, kind: 'number', value: Number(text) };
  }
  if (type === 'flag' && /^(true|false)$/i.test(text)) {
    return { ...place, kind: 'boolean', value: text.toLowerCase() === 'true' };
  }
  return { ...place, value: text };
}
