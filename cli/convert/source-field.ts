/**
 * The fields of a configuration to convert. A converter leaves a verdict on each field that it
 * reads; the report lists the fields without one, too, so no field is dropped silently.
 */
import { lineOf, type Source } from '../../translate/problem.ts';
import { isRecord } from '../../translate/read/untyped-object.ts';
import type { Place } from './draft.ts';

export type FieldVerdict =
  /** The field is in the output, with the same meaning. */
  | { readonly type: 'Converted'; readonly to: Place }
  /** The field is in the output, and means something else there. */
  | { readonly type: 'Differs'; readonly to: Place; readonly how: string }
  /** The field is not in the output. */
  | { readonly type: 'NoEqual'; readonly why: string; readonly fix: string }
  /** The field needs no counterpart. */
  | { readonly type: 'NotNeeded'; readonly why: string };

/** More would not fit into a report that somebody reads. */
const MAX_FIELDS = 200_000;
const MAX_DEPTH = 64;

/** What the fields of a document share. */
interface FieldBudget {
  left: number;
  readonly object: string | undefined;
}

export class SourceField {
  readonly value: unknown;
  readonly path: string;
  readonly #source: Source;
  readonly #members: ReadonlyMap<string, SourceField>;
  readonly #object: string | undefined;
  readonly #verdicts: FieldVerdict[] = [];

  /** Use `read`. */
  constructor(value: unknown, path: string, source: Source, budget: FieldBudget, depth = 0) {
    budget.left--;
    if (budget.left < 0 || depth > MAX_DEPTH) {
      throw new RangeError(
        depth > MAX_DEPTH ? `is nested more than ${MAX_DEPTH} deep` : `has more than ${MAX_FIELDS} fields`,
      );
    }
    this.value = value;
    this.path = path;
    this.#source = source;
    this.#object = budget.object;
    const members = new Map<string, SourceField>();
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        members.set(String(index), new SourceField(item, `${path}[${index}]`, source, budget, depth + 1));
      }
    } else if (isRecord(value)) {
      for (const [key, member] of Object.entries(merged(value))) {
        members.set(key, new SourceField(member, path === '' ? key : `${path}.${key}`, source, budget, depth + 1));
      }
    }
    this.#members = members;
  }

  /** Throws a RangeError for a document with too many fields, or too deep ones. */
  static read(value: unknown, source: Source): SourceField {
    return new SourceField(value, '', source, { left: MAX_FIELDS, object: objectName(value) });
  }

  /** Names the object of a Kubernetes document, which the paths of its fields do not. */
  get object(): string | undefined {
    return this.#object;
  }

  get file(): string {
    return this.#source.file;
  }

  get line(): number | undefined {
    return lineOf(this.#source, this.path);
  }

  /** The field at a path of member names; undefined if it is absent or null. */
  at(...names: readonly string[]): SourceField | undefined {
    let found: SourceField | undefined = this;
    for (const name of names) {
      found = found === undefined || found.isList ? undefined : found.#members.get(name);
    }
    return found?.value === null ? undefined : found;
  }

  get isList(): boolean {
    return Array.isArray(this.value);
  }

  /** The items of a list; none if the field is no list. */
  get items(): readonly SourceField[] {
    return this.isList ? [...this.#members.values()] : [];
  }

  /** The members of an object; none if the field is no object. */
  get members(): ReadonlyMap<string, SourceField> {
    return this.isList ? new Map() : this.#members;
  }

  /** The text of a string, number or boolean. */
  get text(): string | undefined {
    return ['string', 'number', 'boolean'].includes(typeof this.value) ? String(this.value) : undefined;
  }

  /** The number, also one that is written as text. */
  get number(): number | undefined {
    const text = this.text?.replaceAll('_', '');
    const number =
      typeof this.value === 'boolean' || text === undefined || text.trim() === '' ? Number.NaN : Number(text);
    return Number.isFinite(number) ? number : undefined;
  }

  get isTrue(): boolean {
    return this.text?.toLowerCase() === 'true';
  }

  /** The texts of a list, or of a single value. */
  get texts(): readonly string[] {
    return (this.isList ? this.items : [this]).flatMap(({ text }) => text ?? []);
  }

  becomes(to: Place): void {
    this.#verdicts.push({ type: 'Converted', to });
  }

  differs(to: Place, how: string): void {
    this.#verdicts.push({ type: 'Differs', to, how });
    to.draft.comment(to, how);
  }

  hasNoEqual(why: string, fix: string): void {
    this.#verdicts.push({ type: 'NoEqual', why, fix });
  }

  isNotNeeded(why: string): void {
    this.#verdicts.push({ type: 'NotNeeded', why });
  }

  get verdicts(): readonly FieldVerdict[] {
    return this.#verdicts;
  }

  /** Whether the field has neither a value nor members. */
  get isEmpty(): boolean {
    return this.#members.size === 0 && (this.value === null || typeof this.value === 'object');
  }
}

function objectName(value: unknown): string | undefined {
  if (!isRecord(value) || typeof value['kind'] !== 'string' || !isRecord(value['metadata'])) {
    return undefined;
  }
  return `${value['kind']} ${String(value['metadata']['name'])}`;
}

/** Resolves the merge keys of YAML 1.1, which both sources read. */
function merged(record: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { '<<': base, ...own } = record;
  const bases = (Array.isArray(base) ? base : [base]).filter(isRecord);
  return bases.length === 0 ? record : Object.assign({}, ...bases.map(merged).reverse(), own);
}
