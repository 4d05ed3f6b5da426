/** Formats metrics in slices, so that a large scrape does not block the event loop. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics';

/** About a millisecond of work: a point of a histogram has about twenty lines. */
const POINTS_A_SLICE = 40;

export async function prometheusText(
  serializer: PrometheusSerializer,
  { resource, scopeMetrics }: ResourceMetrics,
): Promise<string> {
  const parts: string[] = [];
  for (const { scope, metrics } of scopeMetrics) {
    for (const metric of metrics) {
      for (let from = 0; from < metric.dataPoints.length; from += POINTS_A_SLICE) {
        const slice = { ...metric, dataPoints: metric.dataPoints.slice(from, from + POINTS_A_SLICE) } as MetricData;
        const text = serializer.serialize({ resource, scopeMetrics: [{ scope, metrics: [slice] }] });
        parts.push(from === 0 ? text : withoutComments(text));
        await nextTurn();
      }
    }
  }
  return parts.join('');
}

/** Removes HELP, UNIT and TYPE, which a metric may have only once. */
function withoutComments(text: string): string {
  return text.replace(/^#.*\n/gm, '');
}
