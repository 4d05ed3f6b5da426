/**
 * Collects changes to a request's body as splices: replaced values and inserted members. All other
 * bytes stay as the client sent them.
 */
import type { JsonMatch, ScannedBody } from '../json/scanner.ts';
import type { Splice } from '../json/splice.ts';
import type { EditRequest } from './adapter.ts';
import { presentLabels, type RequestLabels } from './labels.ts';

export class BodyEdits {
  readonly #body: ScannedBody;
  readonly #splices: Splice[] = [];
  /** Members to insert, by the offset after an opening brace. */
  readonly #added = new Map<number, { readonly members: string[]; readonly empty: boolean }>();

  constructor(body: ScannedBody) {
    this.#body = body;
  }

  /** Sets a top-level member. */
  set(name: string, value: unknown): void {
    const found = this.#body.one(name);
    if (found === undefined) {
      this.#add(this.#body.insertAt, this.#body.empty, name, value);
    } else {
      this.#replace(found, value);
    }
  }

  /** Replaces the value of each member at a path by what `replaced` returns for it. */
  replaceEach(path: string, replaced: (value: unknown) => unknown): void {
    for (const found of this.#body.all(path)) {
      this.#replace(found, replaced(found.value));
    }
  }

  /** Replaces a top-level member that is there by one of another name. */
  rename(name: string, newName: string, value: unknown): void {
    const { keyStart, end } = this.#body.one(name)!;
    const bytes = Buffer.from(`${JSON.stringify(newName)}:${JSON.stringify(value)}`);
    this.#splices.push({ start: keyStart, end, bytes });
  }

  /**
   * Sets members of a top-level object (`parent` and `parent.name` are in the shape, with `value`).
   * Creates the object where it is absent or null.
   * A parent of another kind is left for the provider to refuse.
   */
  setNested(parent: string, members: Readonly<Record<string, unknown>>): void {
    const object = this.#body.one(parent);
    if (object === undefined || object.kind === 'null') {
      if (Object.keys(members).length > 0) {
        this.set(parent, members);
      }
      return;
    }
    if (object.kind !== 'object') {
      return;
    }
    for (const [name, value] of Object.entries(members)) {
      const found = this.#body.one(`${parent}.${name}`);
      if (found === undefined) {
        this.#add(object.start + 1, isEmptyObject(this.#body, object), name, value);
      } else {
        this.#replace(found, value);
      }
    }
  }

  /**
   * Adds labels to those of the client in a top-level object (in the shape, with `value`), in place
   * of its own of the same names.
   */
  setLabels(name: string, labels: RequestLabels): void {
    const found = this.#body.one(name);
    const merged = { ...(found && labelsAt(this.#body, found)), ...labels };
    if (found !== undefined || presentLabels(labels) !== undefined) {
      this.set(name, merged);
    }
  }

  splices(): readonly Splice[] {
    for (const [at, { members, empty }] of this.#added) {
      this.#splices.push({ start: at, end: at, bytes: Buffer.from(members.join(',') + (empty ? '' : ',')) });
    }
    return this.#splices.sort((one, other) => one.start - other.start);
  }

  #replace(found: JsonMatch, value: unknown): void {
    this.#splices.push({ start: found.start, end: found.end, bytes: Buffer.from(JSON.stringify(value)) });
  }

  #add(at: number, empty: boolean, name: string, value: unknown): void {
    const added = this.#added.get(at) ?? { members: [], empty };
    this.#added.set(at, added);
    added.members.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
  }
}

/** Changes the model alone, for APIs that have nothing else to change. */
export const editModel: EditRequest = (body, edits) => {
  const changes = new BodyEdits(body);
  if (edits.model !== undefined) {
    changes.set('model', edits.model);
  }
  return changes.splices();
};

/** Changes the model in a form, where it is plain text. */
export const editFormModel: EditRequest = (body, { model }) => {
  const found = model === undefined ? undefined : body.one('model');
  return found === undefined ? [] : [{ start: found.start, end: found.end, bytes: Buffer.from(model!) }];
};

/** Enough for 64 labels, the most on Vertex AI, with all characters escaped. */
const MAX_LABELS_BYTES = 65_536;

/** What is no object, or is longer than the provider takes, has no labels. */
function labelsAt({ bytes }: ScannedBody, { kind, start, end }: JsonMatch): object {
  if (kind !== 'object' || end - start > MAX_LABELS_BYTES) {
    return {};
  }
  const parts: Uint8Array[] = [];
  let skipped = 0;
  for (const piece of bytes) {
    parts.push(piece.subarray(Math.max(0, start - skipped), Math.max(0, end - skipped)));
    skipped += piece.length;
  }
  return JSON.parse(Buffer.concat(parts).toString()) as object;
}

/** Returns whether there is only white space between the braces. */
function isEmptyObject(body: ScannedBody, object: JsonMatch): boolean {
  let skipped = 0;
  const end = object.end - 1;
  for (const piece of body.bytes) {
    const pieceEnd = Math.min(skipped + piece.length, end);
    for (let at = Math.max(object.start + 1, skipped); at < pieceEnd; at++) {
      const byte = piece[at - skipped];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        return false;
      }
    }
    skipped += piece.length;
  }
  return true;
}
