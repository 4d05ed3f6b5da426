/**
 * What is read from a JSON document, declared as data by the adapters of `providers` and carried
 * out by `JsonTokenizer`. Other values are skipped (but must be valid JSON). A shape is the one
 * place that lists what we read, which must mean the same to us and to the provider.
 */

/**
 * - `value`: record the position of the value and, for scalars, the value.
 * - `text`: a string that the provider tokenizes: its raw span goes to the text sink.
 * - `deepText`: any value whose strings and keys are all text (tool definitions, schemas).
 * `object` names members, and `items` is the shape of array elements. A node may have both, for
 * example a `content` that is a string or an array of parts.
 */
export interface Shape {
  readonly value?: boolean;
  readonly text?: boolean;
  readonly deepText?: boolean;
  readonly object?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}
