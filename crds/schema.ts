/**
 * The API has one zod schema per kind; types, CRD YAML and docs/reference are derived from it. This
 * file defines what the kinds share: names, durations, sizes, and rules. A rule carries both the
 * CEL text for the API server and the function for `tallygate check`, so that both refuse the same
 * input.
 */
import { z } from 'zod';

export const GROUP = 'tallygate.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;
export const GATEWAY_GROUP = 'gateway.networking.k8s.io';

/** A validation rule. `cel` and `holds` are equivalent; `message` names the fix. */
export interface ValidationRule<T> {
  readonly cel: string;
  readonly message: string;
  readonly holds: (value: T) => boolean;
  /** The field to report. */
  readonly field?: string;
}

/** Adds rules to a schema, for zod and for the CRD. Call before `.optional()` and `.default()`. */
export function withRules<S extends z.ZodType>(schema: S, rules: readonly ValidationRule<z.output<S>>[]): S {
  let refined: S = schema;
  for (const rule of rules) {
    refined = refined.refine(rule.holds, { message: rule.message, path: rule.field === undefined ? [] : [rule.field] });
  }
  return refined.meta({
    ...schema.meta(),
    'x-kubernetes-validations': rules.map(({ cel, message, field }) => ({
      rule: cel,
      message,
      ...(field === undefined ? {} : { fieldPath: `.${field}` }),
    })),
  });
}

/**
 * The rule of a Kubernetes union: `member` must be set if and only if `selector` has this value.
 */
export function unionMember<T extends object>(
  value: string,
  member: keyof T & string,
  selector = 'type',
): ValidationRule<T> {
  return {
    cel: `self.${selector} == '${value}' ? has(self.${member}) : !has(self.${member})`,
    message: `${member} must be set if and only if ${selector} is ${value}`,
    holds: (object) => (Reflect.get(object, selector) === value) === (Reflect.get(object, member) !== undefined),
  };
}

/** A list with a unique key field, which `kubectl apply` merges by key. */
export function keyedList<S extends z.ZodObject>(item: S, key: keyof z.output<S> & string, maximum: number) {
  return z
    .array(item)
    .max(maximum)
    .refine((items) => new Set(items.map((each) => Reflect.get(each, key))).size === items.length, {
      message: `each ${key} must be unique`,
    })
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [key] });
}

/** A list of unique strings. */
export function setOf(item: z.ZodString, maximum: number) {
  return z
    .array(item)
    .max(maximum)
    .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
    .meta({ 'x-kubernetes-list-type': 'set' });
}

export const dnsLabel = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'must be lower-case letters, digits and "-", such as small-models');

export const objectName = z
  .string()
  .min(1)
  .max(253)
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    'must be a Kubernetes name: lower-case letters, digits, "-" and "."',
  );

export const hostname = z
  .string()
  .min(1)
  .max(253)
  .regex(
    /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    'must be a lower-case host name, such as ai.example.com or *.example.com',
  );

/** An HTTP header name. Excludes pseudo-headers (`:path`). */
export const headerName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/, 'must be the name of an HTTP header, such as x-team');

/** The name of a claim of a token, or a path of names with dots. */
export const claimName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[!-~]+$/, 'must be the name of a claim, or a path of names with dots');

export const port = z.int32().min(1).max(65535);

/** A Gateway API duration: `1h30m`, `10s`, `500ms`. */
export const duration = z
  .string()
  .max(24)
  .regex(/^([0-9]{1,5}(h|m|s|ms)){1,4}$/, 'must be a duration such as 500ms, 10s, 5m or 1h30m');

const durationUnitsMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Converts a `duration` to milliseconds. */
export function durationMs(text: string): number {
  let total = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)(ms|h|m|s)/g)) {
    total += Number(count) * (durationUnitsMs[unit ?? ''] ?? 0);
  }
  return total;
}

const byteUnits: Readonly<Record<string, number>> = { k: 1000, M: 1e6, G: 1e9, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** Converts a `size` to bytes. */
export function sizeBytes(text: string): number {
  const [, count, unit] = /^([0-9]+)([A-Za-z]*)$/.exec(text) ?? [];
  return Number(count) * (unit === undefined || unit === '' ? 1 : (byteUnits[unit] ?? 1));
}

/** A number of bytes as a Kubernetes quantity, from 1 to 1Gi. */
export const size = withRules(
  z
    .string()
    .max(16)
    .regex(/^[1-9][0-9]{0,9}(Ki|Mi|Gi|k|M|G)?$/, 'must be a size in bytes such as 65536, 64Ki or 32Mi'),
  [
    {
      cel: "quantity(self).compareTo(quantity('1Gi')) <= 0",
      message: 'must be at most 1Gi',
      holds: (value) => sizeBytes(value) <= 1024 ** 3,
    },
  ],
);

/**
 * An exact name, or a glob where `*` matches any characters. At most 4 stars, so that matching is
 * linear.
 */
export const modelPattern = z
  .string()
  .min(1)
  .max(256)
  .regex(
    /^[!-)+-~]*(\*[!-)+-~]*){0,4}$/,
    'must be a model name or a glob of printable characters without spaces, with at most 4 "*"',
  );

export const modelName = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[!-)+-~]+$/, 'must be a model name of printable characters without spaces and "*"');

/** At most 9 million, so that nano-units stay below 2^53. */
const MONEY = /^(9000000|[0-8]?[0-9]{1,6})(\.[0-9]{1,9})?$/;
const MONEY_CHARACTERS = 17;

/**
 * The amount of a limit: a count, which may exceed 2^31 (JSON readers are exact up to 2^53 - 1), or
 * money in a decimal number.
 */
export const amount = z
  .union(
    [
      z.int().min(1).max(Number.MAX_SAFE_INTEGER),
      z
        .string()
        .max(MONEY_CHARACTERS)
        .regex(MONEY, 'must be a decimal number of at most 9000000, with at most nine places, as in "500.00"'),
    ],
    'must be a whole number, or for Cost a decimal number in quotes',
  )
  .meta({
    // The API server applies each keyword to values of its own type.
    'x-kubernetes-int-or-string': true,
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    maxLength: MONEY_CHARACTERS,
    pattern: MONEY.source,
  });

export const currency = z
  .string()
  .max(3)
  .regex(/^[A-Z]{3}$/, 'must be a currency code of ISO 4217, as in USD');

export const tokenCount = z.int32().min(1);
