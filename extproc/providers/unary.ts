/** Reads a unary response: text goes to the sink as it arrives, and the usage numbers are kept. */
import { newScanner } from '../json/json-tokenizer.ts';
import type { JsonScanner, MatchesByPath } from '../json/scanner.ts';
import type { Shape } from '../json/shape.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { Usage } from '../usage.ts';
import type { ResponseOptions, UnaryReader } from './adapter.ts';
import { withReason } from './finish-reasons.ts';
import { numbersOf, type UsageNumbers } from './usage.ts';

/** What a unary response of an API contains, and where. */
export interface UnaryForm {
  readonly shape: Shape;
  /** Path of the model's name. */
  readonly model?: string;
  /** Path of the service tier, or what reads it. */
  readonly serviceTier?: string | ((document: MatchesByPath) => string | undefined);
  /** The shape with what only traces show: reading more members takes time of each response. */
  readonly tracedShape?: Shape;
  /** Path of the response's id in that shape. */
  readonly id?: string;
  /** Path of the reasons why choices end, there. */
  readonly finishReason?: string;
  /** `numbers` reads the number at a path of the shape; `document` has all matches. */
  readonly usage: (numbers: UsageNumbers, document: MatchesByPath) => Usage | undefined;
  /** See `UnaryReader.priceUnits`. */
  readonly priceUnits?: (numbers: UsageNumbers, document: MatchesByPath) => number | undefined;
}

export function unaryReader(form: UnaryForm, { isTraced }: Pick<ResponseOptions, 'isTraced'> = {}): UnaryReader {
  const { shape, tracedShape = shape } = form;
  return new ScannedUnaryReader(form, isTraced === true ? tracedShape : shape);
}

class ScannedUnaryReader implements UnaryReader {
  broken = false;
  readonly #form: UnaryForm;
  readonly #scanner: JsonScanner;
  readonly #numbers: UsageNumbers;
  #usage: Usage | undefined;
  #usageIsRead = false;

  constructor(form: UnaryForm, shape: Shape) {
    this.#form = form;
    this.#scanner = newScanner(shape, { purpose: 'answer' });
    this.#numbers = numbersOf(this.#scanner);
  }

  push(bytes: Uint8Array, sink: TextSink): void {
    this.#usageIsRead = false;
    // A response that is not JSON passes unchanged and has no usage.
    if (this.#scanner.push(bytes, sink) !== undefined) {
      this.broken = true;
    }
  }

  release(): void {
    this.#scanner.release();
  }

  get usage(): Usage | undefined {
    if (!this.#usageIsRead) {
      this.#usage = this.#form.usage(this.#numbers, this.#scanner);
    }
    this.#usageIsRead = true;
    return this.#usage;
  }

  get priceUnits(): number | undefined {
    return this.#form.priceUnits?.(this.#numbers, this.#scanner);
  }

  get responseModel(): string | undefined {
    return this.#text(this.#form.model);
  }

  get serviceTier(): string | undefined {
    const { serviceTier } = this.#form;
    return typeof serviceTier === 'function' ? serviceTier(this.#scanner) : this.#text(serviceTier);
  }

  get responseId(): string | undefined {
    return this.#text(this.#form.id);
  }

  get finishReasons(): readonly string[] | undefined {
    const { finishReason } = this.#form;
    const found = finishReason === undefined ? [] : this.#scanner.all(finishReason);
    return found.reduce<readonly string[] | undefined>((reasons, { value }) => withReason(reasons, value), undefined);
  }

  #text(path: string | undefined): string | undefined {
    const value = path === undefined ? undefined : this.#scanner.one(path)?.value;
    return typeof value === 'string' && value !== '' ? value : undefined;
  }
}

/**
 * Full paths by member and path. Both are constants of the adapters, and a newly built string is
 * expensive to look up.
 */
const wholePaths = new Map<string, Map<string, string>>();

/** Returns the numbers below a member. */
export function below(numbers: UsageNumbers, member: string): UsageNumbers {
  const known = wholePaths.get(member) ?? new Map<string, string>();
  wholePaths.set(member, known);
  return {
    get(path) {
      let whole = known.get(path);
      if (whole === undefined) {
        whole = `${member}.${path}`;
        known.set(path, whole);
      }
      return numbers.get(whole);
    },
  };
}
