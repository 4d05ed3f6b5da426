/** Reads Secrets and ConfigMaps. Their problems never show a value. */
import { type ConfigMap, type Located, type Secret, type SecretText, secretText } from '../world.ts';
import { isRecord } from './fields.ts';
import type { Reading } from './readers.ts';
import { expand } from './variables.ts';

export function readSecret(reading: Reading): Located<Secret> {
  const { document, metadata, problem, lookup } = reading;
  const data = new Map<string, SecretText>();
  for (const [key, value] of strings(reading, 'data')) {
    if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)) {
      data.set(key, secretText(Buffer.from(value, 'base64').toString('utf8')));
    } else {
      const fix = 'encode it, or write it as plain text under stringData';
      problem({ reason: 'InvalidField', path: `data.${key}`, message: 'is not base64', fix });
    }
  }
  for (const [key, value] of strings(reading, 'stringData')) {
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

export function readConfigMap(reading: Reading): Located<ConfigMap> {
  const { metadata, document } = reading;
  return { metadata, data: new Map(strings(reading, 'data')), source: document.source };
}

function strings({ document, problem }: Reading, field: string): readonly (readonly [string, string])[] {
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
