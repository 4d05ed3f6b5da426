/**
 * Turns the schemas of Gemini, a part of OpenAPI 3.0, into JSON schemas:
 * https://ai.google.dev/api/caching#Schema
 */
import type { JsonRecord } from '../conversation.ts';
import { listOf, recordOf, stringOf } from '../json-values.ts';
import { camelMembers } from './members.ts';

/** Deeper schemas are refused by all providers. */
const MAX_DEPTH = 64;

/** Members that JSON schemas do not have. */
const OTHERS: ReadonlySet<string> = new Set(['nullable', 'propertyOrdering', 'example', 'type']);

/** Numbers that the API writes as text. */
const COUNTS: ReadonlySet<string> = new Set([
  ...['minItems', 'maxItems', 'minLength', 'maxLength', 'minProperties', 'maxProperties'],
]);

/** `isClosed`: objects have no other properties than the schema names. */
export function jsonSchema(schema: JsonRecord, isClosed = false, depth = 0): JsonRecord {
  if (depth === MAX_DEPTH) {
    return {};
  }
  const given = camelMembers(schema);
  const inner = (value: unknown) => jsonSchema(recordOf(value) ?? {}, isClosed, depth + 1);
  const result: Record<string, unknown> = { ...typeOf(given) };
  for (const [name, value] of Object.entries(given)) {
    if (OTHERS.has(name)) {
      continue;
    }
    if (name === 'properties') {
      const members = Object.entries(recordOf(value) ?? {});
      result[name] = Object.fromEntries(members.map(([key, property]) => [key, inner(property)]));
    } else if (name === 'items') {
      result[name] = inner(value);
    } else if (name === 'anyOf') {
      result[name] = (listOf(value) ?? []).map(inner);
    } else {
      result[name] = COUNTS.has(name) && typeof value === 'string' ? Number(value) : value;
    }
  }
  return isClosed && result['properties'] !== undefined ? { ...result, additionalProperties: false } : result;
}

function typeOf({ type, nullable }: JsonRecord): JsonRecord {
  const name = stringOf(type)?.toLowerCase();
  if (name === undefined || name === 'type_unspecified') {
    return {};
  }
  return { type: nullable === true ? [name, 'null'] : name };
}
