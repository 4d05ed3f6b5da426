/** Converts unknown fields and zod issues into problems for the author of a value. */
import type { z } from 'zod';
import { type JsonSchema, jsonSchema } from '../../crds/custom-resource.ts';
import type { ProblemFields } from '../problem.ts';
import { suggestion } from './suggestion.ts';
import { isRecord, type UntypedObject } from './untyped-object.ts';

const objectFields = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

const schemas = new WeakMap<z.ZodType, JsonSchema>();

/** Returns the fields that the schema does not have. The API server would drop them silently. */
export function unknownFields(spec: z.ZodType, object: UntypedObject): readonly ProblemFields[] {
  let schema = schemas.get(spec);
  if (schema === undefined) {
    schema = jsonSchema(spec);
    schemas.set(spec, schema);
  }
  const found: ProblemFields[] = [];
  collect({ properties: Object.fromEntries(objectFields.map((each) => [each, {}])) }, object, '', found);
  collect(schema, object.spec, 'spec', found);
  return found;
}

function collect(schema: JsonSchema, value: unknown, path: string, found: ProblemFields[]): void {
  if (Array.isArray(value)) {
    if (schema.items === undefined) {
      return;
    }
    for (const [index, item] of value.entries()) {
      collect(schema.items, item, `${path}[${index}]`, found);
    }
    return;
  }
  const { properties } = schema;
  if (!isRecord(value) || properties === undefined) {
    return;
  }
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const at = path === '' ? name : `${path}.${name}`;
    if (known !== undefined) {
      collect(known, member, at, found);
      continue;
    }
    const meant = suggestion(name, Object.keys(properties));
    const fix =
      meant === undefined
        ? `remove it; known fields are ${Object.keys(properties).join(', ')}`
        : `did you mean ${meant}?`;
    found.push({ reason: 'UnknownField', path: at, message: 'unknown field', fix });
  }
}

/** Converts a zod issue into a problem. `root` is the path of the parsed value in the object. */
export function fieldProblem(issue: z.core.$ZodIssue, root: string): ProblemFields {
  const path = issue.path.reduce<string>(
    (at, step) => (typeof step === 'number' ? `${at}[${step}]` : `${at}.${String(step)}`),
    root,
  );
  return { reason: 'InvalidField', path, ...words(issue) };
}

function words(issue: z.core.$ZodIssue): { readonly message: string; readonly fix: string } {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) {
        return { message: 'is missing', fix: `add it: ${article(issue.expected)}` };
      }
      if (issue.expected === 'int' && typeof issue.input === 'number') {
        return { message: `${shown(issue.input)} is not a whole number`, fix: 'write a whole number' };
      }
      return {
        message: `must be ${article(issue.expected)}, not ${article(typeName(issue.input))}`,
        fix:
          issue.expected === 'string'
            ? `write it in quotes: "${shown(issue.input)}"`
            : `write ${article(issue.expected)}`,
      };
    case 'invalid_value': {
      const values = issue.values.map(String);
      if (issue.input === undefined) {
        return { message: 'is missing', fix: `add it: ${alternatives(values)}` };
      }
      if (!issue.message.startsWith('Invalid')) {
        return { message: `${quoted(issue.input)} is not allowed`, fix: `it ${issue.message}` };
      }
      const meant = suggestion(String(issue.input), values);
      const fix = meant === undefined ? `write ${alternatives(values)}` : `did you mean ${meant}?`;
      return { message: `${quoted(issue.input)} is not one of ${values.join(', ')}`, fix };
    }
    case 'invalid_format':
      return { message: `${quoted(issue.input)} is not allowed`, fix: `it ${issue.message}` };
    case 'too_small':
      if (issue.origin === 'array') {
        return { message: 'has too few entries', fix: `list at least ${issue.minimum}` };
      }
      if (issue.origin === 'string') {
        return { message: 'is empty', fix: 'write a value' };
      }
      return { message: `${quoted(issue.input)} is too small`, fix: `write at least ${issue.minimum}` };
    case 'too_big':
      if (issue.origin === 'array') {
        return { message: 'has too many entries', fix: `list at most ${issue.maximum}` };
      }
      if (issue.origin === 'string') {
        return { message: 'is too long', fix: `use at most ${issue.maximum} characters` };
      }
      return { message: `${quoted(issue.input)} is too large`, fix: `write at most ${issue.maximum}` };
    case 'custom':
      return { message: 'violates a rule of the API', fix: issue.message };
    default:
      return { message: 'is not allowed', fix: issue.message };
  }
}

function alternatives(values: readonly string[]): string {
  return values.length === 1 ? (values[0] ?? '') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

function typeName(value: unknown): string {
  if (value === null) {
    return 'null';
  }
  return Array.isArray(value) ? 'array' : typeof value;
}

function article(type: string): string {
  const names: Readonly<Record<string, string>> = {
    array: 'a list',
    object: 'a map of fields',
    int: 'a whole number',
    null: 'nothing',
    boolean: 'true or false',
  };
  return names[type] ?? `a ${type}`;
}

function quoted(value: unknown): string {
  return typeof value === 'string' ? `"${shown(value)}"` : shown(value);
}

/** Shortens a value to one line. */
function shown(value: unknown): string {
  const text = typeof value === 'object' ? typeName(value) : String(value);
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text).slice(1, -1);
}
