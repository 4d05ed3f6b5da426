/** YAML for a terminal. */
import {
  type CreateNodeOptions,
  Document,
  type DocumentOptions,
  isScalar,
  Scalar,
  type SchemaOptions,
  type ToStringOptions,
  visit,
} from 'yaml';
import { INTERPRETED_IN_LINES } from './printable.ts';

type YamlOptions = DocumentOptions & SchemaOptions & CreateNodeOptions & ToStringOptions;

/** Returns YAML with the same value and without anything that a terminal would interpret. */
export function printableYaml(value: unknown, options: YamlOptions = {}): string {
  return printableDocument(new Document(value, options), options);
}

/** Returns the text of a document. Only strings in double quotes can have escapes. */
export function printableDocument(document: Document, options: ToStringOptions = {}): string {
  visit(document, {
    Scalar: (_, scalar) => {
      if (
        isScalar<unknown>(scalar) &&
        typeof scalar.value === 'string' &&
        scalar.value.search(INTERPRETED_IN_LINES) !== -1
      ) {
        scalar.type = Scalar.QUOTE_DOUBLE;
      }
    },
  });
  return document.toString(options).replace(INTERPRETED_IN_LINES, escaped);
}

function escaped(character: string): string {
  const code = character.codePointAt(0)!.toString(16);
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
}
