/** Reads members of a client's request that JSON does not type. */
import type { JsonRecord, MediaSource } from './conversation.ts';
import { listOf, numberOf, recordOf, stringOf } from './json-values.ts';
import type { Losses } from './losses.ts';

/** Members of one object of a request. A member that is null counts as absent. */
export class RequestFields {
  readonly #object: JsonRecord;
  readonly #at: string;
  readonly #losses: Losses;

  /** `at` is the path of the object, with its final dot. */
  constructor(object: JsonRecord, losses: Losses, at = '') {
    this.#object = object;
    this.#at = at;
    this.#losses = losses;
  }

  any(name: string): unknown {
    return this.#object[name] ?? undefined;
  }

  text(name: string): string | undefined {
    return this.#typed(name, stringOf, 'a string');
  }

  number(name: string): number | undefined {
    return this.#typed(name, numberOf, 'a number');
  }

  flag(name: string): boolean | undefined {
    return this.#typed(name, (value) => (typeof value === 'boolean' ? value : undefined), 'true or false');
  }

  record(name: string): JsonRecord | undefined {
    return this.#typed(name, recordOf, 'an object');
  }

  list(name: string): readonly unknown[] | undefined {
    return this.#typed(name, listOf, 'an array');
  }

  /** Returns the objects of an array, with their paths. */
  records(name: string): readonly { readonly object: JsonRecord; readonly at: string }[] {
    return (this.list(name) ?? []).flatMap((value, index) => {
      const at = `${this.#at}${name}[${index}]`;
      const object = recordOf(value);
      if (object === undefined) {
        this.#losses.invalid(at, 'must be an object');
      }
      return object === undefined ? [] : [{ object, at }];
    });
  }

  #typed<Value>(name: string, read: (value: unknown) => Value | undefined, what: string): Value | undefined {
    const value = this.any(name);
    const typed = value === undefined ? undefined : read(value);
    if (value !== undefined && typed === undefined) {
      this.#losses.invalid(this.#at + name, `must be ${what}`);
    }
    return typed;
  }
}

/** Media types and parameters are short; the rest of a data URL is data. */
const MAX_DATA_URL_HEAD = 256;

/** Reads a URL or a data URL; undefined if the data is not base64. */
export function mediaSource(url: string): MediaSource | undefined {
  if (!/^data:/i.test(url.slice(0, 5))) {
    return { type: 'url', url };
  }
  const head = url.slice(5, MAX_DATA_URL_HEAD);
  const comma = head.indexOf(',');
  const [mediaType = '', ...parameters] = head.slice(0, comma).split(';');
  if (comma < 0 || parameters.at(-1)?.trim().toLowerCase() !== 'base64') {
    return undefined;
  }
  return { type: 'base64', mediaType: mediaType.trim().toLowerCase(), data: url.slice(5 + comma + 1) };
}

export function dataUrl(mediaType: string, data: string): string {
  return `data:${mediaType};base64,${data}`;
}
