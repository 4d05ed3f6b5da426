/** Compares what was exported with OpenTelemetry's semantic conventions. */
import { readFileSync } from 'node:fs';
import type { CollectedMetric } from '../../data-plane/support/collector.ts';
import { CONVENTIONS_FILE } from './otel-collector.ts';

interface Conventions {
  /** `type`: the Go function that sets a value; absent where any value may be set. */
  readonly attributes: Readonly<Record<string, { readonly type?: string; readonly values?: readonly string[] }>>;
  readonly metrics: Readonly<Record<string, ConventionalMetric>>;
}

interface ConventionalMetric {
  /** The Go type of the instrument. */
  readonly type: string;
  readonly unit: string;
  readonly required: readonly string[];
  readonly optional: readonly string[];
}

type Attributes = Readonly<Record<string, unknown>>;

/** Values of enums that the conventions lack. They permit others where none of theirs applies. */
const OWN_VALUES: Readonly<Record<string, readonly string[]>> = {
  'gen_ai.operation.name': ['list_models'],
  'gen_ai.provider.name': ['tallygate'],
};

const OWN_PREFIX = 'tallygate.';

const isOfType: Readonly<Record<string, (value: unknown) => boolean>> = {
  String: (value) => typeof value === 'string',
  Bool: (value) => typeof value === 'boolean',
  // Integers of 64 bits are strings in JSON.
  Int: (value) => Number.isInteger(Number(value)),
  Float64: (value) => typeof value === 'number',
  StringSlice: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
};

export function readConventions(): Conventions {
  return JSON.parse(readFileSync(CONVENTIONS_FILE, 'utf8')) as Conventions;
}

/** Returns what is wrong with attributes that are not Tallygate's own. */
export function attributeFaults({ attributes }: Conventions, all: Attributes): readonly string[] {
  return Object.entries(all).flatMap(([name, value]) => {
    if (name.startsWith(OWN_PREFIX)) {
      return [];
    }
    const convention = attributes[name];
    if (convention === undefined) {
      return [`${name} is not in the conventions`];
    }
    const { type, values } = convention;
    if (type !== undefined && isOfType[type]?.(value) !== true) {
      return [`${name} is not of the type ${type}: ${JSON.stringify(value)}`];
    }
    // The values of error.type are free.
    const isKnown = name === 'error.type' || values === undefined || values.includes(value as string);
    return isKnown || OWN_VALUES[name]?.includes(value as string) ? [] : [`${name} has the value ${value}`];
  });
}

/** Returns what is wrong with a metric of generative AI. */
export function metricFaults(conventions: Conventions, name: string, metric: CollectedMetric): readonly string[] {
  const convention = conventions.metrics[name];
  if (convention === undefined) {
    return [`${name} is not in the conventions`];
  }
  const { type, unit, required, optional } = convention;
  const faults = metric.points.flatMap((point) => [
    ...required.filter((each) => point[each] === undefined).map((each) => `${name} lacks ${each}`),
    ...Object.keys(point)
      .filter((each) => !each.startsWith(OWN_PREFIX) && !required.includes(each) && !optional.includes(each))
      .map((each) => `${name} must not have ${each}`),
    ...attributeFaults(conventions, point),
  ]);
  // Float64Histogram, Int64Counter …
  const isOfItsType = metric.type === (type.endsWith('Histogram') ? 'histogram' : 'sum');
  return [
    ...(isOfItsType ? [] : [`${name} is a ${metric.type}`]),
    ...(metric.unit === unit ? [] : [`${name} has the unit ${metric.unit}`]),
    ...new Set(faults),
  ];
}
