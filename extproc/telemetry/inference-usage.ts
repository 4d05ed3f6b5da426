/** The counters of tokens that the development version of the GenAI conventions has. */
import type { Attributes } from '@opentelemetry/api';
import type { MetricTable, Sum, SumCell } from '../../runtime/metric-table.ts';
import type { Usage } from '../usage.ts';
import { attribute, latestMetric } from './names.ts';

type Modality = 'text' | 'audio' | 'image' | 'unknown';

interface Part {
  readonly metric: keyof typeof latestMetric;
  readonly modality: Modality;
  readonly tokens: (usage: Usage) => number;
}

/** Providers do not tell the modality of what they cache. */
const PARTS: readonly Part[] = [
  { metric: 'inputTokens', modality: 'text', tokens: (usage) => usage.input - usage.audioInput - usage.imageInput },
  { metric: 'inputTokens', modality: 'audio', tokens: ({ audioInput }) => audioInput },
  { metric: 'inputTokens', modality: 'image', tokens: ({ imageInput }) => imageInput },
  { metric: 'outputTokens', modality: 'text', tokens: (usage) => usage.output - usage.audioOutput - usage.imageOutput },
  { metric: 'outputTokens', modality: 'audio', tokens: ({ audioOutput }) => audioOutput },
  { metric: 'outputTokens', modality: 'image', tokens: ({ imageOutput }) => imageOutput },
  { metric: 'cacheReadTokens', modality: 'unknown', tokens: ({ cachedInput }) => cachedInput },
  { metric: 'cacheWriteTokens', modality: 'unknown', tokens: ({ cacheWriteInput }) => cacheWriteInput },
  { metric: 'reasoningTokens', modality: 'text', tokens: ({ reasoningOutput }) => reasoningOutput },
];

/** Adds the tokens of one series, whose cells begin with their first token. */
export type UsageCounter = (usage: Usage) => void;

/** Returns a function that creates the counters of a series. */
export function newUsageCounters(table: MetricTable): (attributes: Attributes) => UsageCounter {
  const sums = new Map<Part['metric'], Sum>();
  for (const { metric } of PARTS) {
    if (!sums.has(metric)) {
      sums.set(metric, table.sum(latestMetric[metric]));
    }
  }
  return (attributes) => {
    const cells: (SumCell | undefined)[] = PARTS.map(() => undefined);
    return (usage) => {
      for (const [index, { metric, modality, tokens }] of PARTS.entries()) {
        const count = tokens(usage);
        if (count > 0) {
          cells[index] ??= sums.get(metric)!.cell({ ...attributes, [attribute.modality]: modality });
          cells[index].value += count;
        }
      }
    };
  };
}
