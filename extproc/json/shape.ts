/**
 * What a JSON document is read for, declared as data by a provider's adapter and carried out by the scanner (`json.ts`): values that the shape does not
 * name are skipped over (but still checked to be JSON). One place to see what we read, and so what must mean the same to us and to the provider.
 */

/**
 * - `value`: remember where the member's value stands (and, for scalars, what it is).
 * - `text`: a string that the provider tokenizes: its raw span goes to the text sink.
 * - `deep-text`: any value; all strings and keys in it are text (tool definitions, schemas).
 * Nested: `object` names members, `items` is the shape of an array's elements. A node may have several (a `content` that is a string or an array of parts).
 */
export interface Shape {
  readonly name?: string;
  readonly value?: boolean;
  readonly text?: boolean;
  readonly deepText?: boolean;
  readonly object?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}
