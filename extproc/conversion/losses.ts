/**
 * What a conversion cannot carry. A field that changes the response is refused, or dropped where
 * the rule of the route says so; a hint is always dropped. Both are told to the client.
 */
import { type Failure, failure } from '../errors.ts';
import type { OptionalField } from './conversation.ts';

export type FieldNames = Readonly<Record<OptionalField, string>>;

/** They go into a header and an access line. */
const MAX_DROPPED = 32;
/** Clients choose the names of unknown fields. */
const FIELD_NAME = /^[\w.[\]-]{1,64}$/;

export class Losses {
  /** The first problem; what is read afterwards has no meaning. */
  problem: Failure | undefined;
  readonly #drops: boolean;
  readonly #names: FieldNames | undefined;
  readonly #target: string;
  readonly #dropped = new Set<string>();

  /**
   * `target` names the provider API; `drops`: the rule has `unsupported: Drop`. Without `names`,
   * the request has no optional parts.
   */
  constructor(target: string, names: FieldNames | undefined, drops: boolean) {
    this.#target = target;
    this.#names = names;
    this.#drops = drops;
  }

  get dropped(): readonly string[] {
    return [...this.#dropped];
  }

  /** Notes a field that the target has no place for. */
  unsupported(field: string, fix = 'Remove it'): void {
    if (this.#drops) {
      this.hint(field);
      return;
    }
    const name = shown(field);
    this.problem ??= failure(
      'unsupported_field',
      `\`${name}\` cannot be converted for the ${this.#target} API of the backend. ${fix}, or set unsupported: Drop in the rule of the AIGatewayRoute.`,
      { param: name },
    );
  }

  /** Notes a field without which the request would have another meaning, so it is never dropped. */
  refused(field: string, needs: string, fix: string): void {
    const name = shown(field);
    this.problem ??= failure(
      'unsupported_field',
      `\`${name}\` ${needs}, which the ${this.#target} API of the backend does not have. ${fix}.`,
      { param: name },
    );
  }

  /** Notes an optional part of the request, by the client API's name for it. */
  unsupportedOption(option: OptionalField, fix?: string): void {
    this.unsupported(this.#names?.[option] ?? option, fix);
  }

  /** Notes a field whose loss does not change the response. */
  hint(field: string): void {
    if (this.#dropped.size < MAX_DROPPED) {
      this.#dropped.add(shown(field));
    }
  }

  hintOption(option: OptionalField): void {
    this.hint(this.#names?.[option] ?? option);
  }

  /** Notes a signature of a tool call, which only the provider that made it can read. */
  callSignature(signature: string | undefined): void {
    if (signature !== undefined) {
      this.hintOption('callSignature');
    }
  }

  /** Notes a value that the client API does not allow. */
  invalid(field: string, what: string): void {
    const name = shown(field);
    this.problem ??= failure('invalid_value', `\`${name}\` ${what}.`, { param: name });
  }
}

function shown(field: string): string {
  return FIELD_NAME.test(field) ? field : 'unknown';
}
