/** Reads Secrets and ConfigMaps. Their problems never show a value. */
import { type ConfigMap, type Located, type Secret, type SecretText, secretText } from '../world.ts';
import type { ReaderInput } from './reader.ts';
import { isRecord } from './untyped-object.ts';
import { expand } from './variables.ts';

export function readSecret(input: ReaderInput): Located<Secret> {
  const { document, metadata, problem, lookup } = input;
  const data = new Map<string, SecretText>();
  for (const [key, value] of strings(input, 'data')) {
    if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)) {
      data.set(key, secretText(Buffer.from(value, 'base64').toString('utf8')));
    } else {
      const fix = 'encode it, or write it as plain text under stringData';
      problem({ reason: 'InvalidField', path: `data.${key}`, message: 'is not base64', fix });
    }
  }
  for (const [key, value] of strings(input, 'stringData')) {
    const expanded = expand(value, document.source.file, lookup);
    if ('missing' in expanded) {
      const { missing: message, fix } = expanded;
      problem({ reason: 'UnresolvedVariable', path: `stringData.${key}`, message, fix });
    } else {
      data.set(key, secretText(expanded.value));
    }
  }
  const { type } = document.value;
  return { metadata, type: typeof type === 'string' ? type : 'Opaque', data, source: document.source };
}

export function readConfigMap(input: ReaderInput): Located<ConfigMap> {
  const { metadata, document } = input;
  return { metadata, data: new Map(strings(input, 'data')), source: document.source };
}

function strings({ document, problem }: ReaderInput, field: string): readonly (readonly [string, string])[] {
  const value = document.value[field];
  if (value === undefined || value === null) {
    return [];
  }
  if (!isRecord(value)) {
    const fix = 'write KEY: "value" lines';
    problem({ reason: 'InvalidField', path: field, message: 'must be a map of fields', fix });
    return [];
  }
  return Object.entries(value).flatMap(([key, text]) => {
    if (typeof text === 'string') {
      return [[key, text] as const];
    }
    const message = 'must be a string';
    problem({ reason: 'InvalidField', path: `${field}.${key}`, message, fix: 'write it in quotes' });
    return [];
  });
}
