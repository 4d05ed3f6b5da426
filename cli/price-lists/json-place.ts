/** Reads JSON with the exact text of its numbers, and names the place of what is wrong. */
import { OperatorError } from '../../standalone/operator-error.ts';

/** A number as the file writes it: a floating-point number would round prices. */
class WrittenNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type ParseWithSource = (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown;

export interface JsonFile {
  readonly name: string;
  readonly text: string;
  /** Tells the operator what to do if the file has another form. */
  readonly fix: string;
}

/** Throws an OperatorError if the file is not JSON. */
export function readJson(file: JsonFile): JsonPlace {
  try {
    const value = (JSON.parse as ParseWithSource)(file.text, (_, each, { source }) =>
      typeof each === 'number' ? new WrittenNumber(source!) : each,
    );
    return new JsonPlace(file, '', value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OperatorError(`${file.name}: is not valid JSON: ${reason}; fix: ${file.fix}`);
  }
}

/** A value of a JSON file and where it is. Its readers throw an OperatorError for another type. */
export class JsonPlace {
  readonly #file: JsonFile;
  readonly #path: string;
  readonly #value: unknown;

  constructor(file: JsonFile, path: string, value: unknown) {
    this.#file = file;
    this.#path = path;
    this.#value = value;
  }

  /** Returns the fields of an object; those that are null count as absent. */
  fields(): readonly (readonly [string, JsonPlace])[] {
    if (!isObject(this.#value)) {
      throw this.#wrong('must be an object');
    }
    return Object.entries(this.#value)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, this.#inside(key, value)] as const);
  }

  field(key: string): JsonPlace | undefined {
    if (!isObject(this.#value)) {
      throw this.#wrong('must be an object');
    }
    const value = Object.hasOwn(this.#value, key) ? this.#value[key] : undefined;
    return value === undefined || value === null ? undefined : this.#inside(key, value);
  }

  /** Returns a field that the format requires. */
  required(key: string): JsonPlace {
    const field = this.field(key);
    if (field === undefined) {
      throw this.#wrong(`must have ${key}`);
    }
    return field;
  }

  items(): readonly JsonPlace[] {
    if (!Array.isArray(this.#value)) {
      throw this.#wrong('must be a list');
    }
    return this.#value.map((value, index) => this.#inside(String(index), value));
  }

  text(): string {
    if (typeof this.#value !== 'string') {
      throw this.#wrong('must be a text');
    }
    return this.#value;
  }

  /** Returns a number times a power of ten, exactly; undefined: no price can be written so. */
  price(powerOfTen: number): string | undefined {
    return writtenPrice(this.#number(), powerOfTen);
  }

  /** Returns a number of tokens; undefined: 0, which the lists write for unknown. */
  tokens(): number | undefined {
    const count = Number(this.#number());
    if (!Number.isInteger(count) || count < 0 || count >= 2 ** 31) {
      throw this.#wrong('must be a number of tokens');
    }
    return count === 0 ? undefined : count;
  }

  /** Whether the value is the number 0. */
  get isZero(): boolean {
    return this.#value instanceof WrittenNumber && Number(this.#value.text) === 0;
  }

  get isFlag(): boolean {
    return typeof this.#value === 'boolean';
  }

  #number(): string {
    if (!(this.#value instanceof WrittenNumber)) {
      throw this.#wrong('must be a number');
    }
    return this.#value.text;
  }

  #inside(key: string, value: unknown): JsonPlace {
    const step = /^[\w-]+$/.test(key) ? `${this.#path === '' ? '' : '.'}${key}` : `[${JSON.stringify(key)}]`;
    return new JsonPlace(this.#file, this.#path + step, value);
  }

  #wrong(problem: string): OperatorError {
    const place = this.#path === '' ? 'the file' : this.#path;
    return new OperatorError(`${this.#file.name}: ${place} ${problem}; fix: ${this.#file.fix}`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof WrittenNumber);
}

/** What the prices of an AIBackend can have: digits before and after the point. */
const MAX_WHOLE_DIGITS = 6;
const MAX_PLACES = 9;

/** Writes a JSON number times a power of ten in the form of a price, without rounding. */
export function writtenPrice(number: string, powerOfTen: number): string | undefined {
  const [, whole = '', places = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? [];
  const digits = `${whole}${places}`.replace(/0+$/, '');
  const significant = digits.replace(/^0+/, '');
  if (whole === '') {
    return undefined;
  }
  if (significant === '') {
    return '0';
  }
  // How many of the significant digits are before the point; may be negative.
  const point = whole.length + Number(exponent) + powerOfTen - (digits.length - significant.length);
  if (point > MAX_WHOLE_DIGITS || significant.length - point > MAX_PLACES) {
    return undefined;
  }
  const before = point <= 0 ? '0' : significant.slice(0, point).padEnd(point, '0');
  const after = point < 0 ? '0'.repeat(-point) + significant : significant.slice(Math.max(0, point));
  return after === '' ? before : `${before}.${after}`;
}
