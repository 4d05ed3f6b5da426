/** The text format of Prometheus, or OpenMetrics, which has exemplars. */
export type MetricsFormat = 'prometheus' | 'openmetrics';

export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** The last line of OpenMetrics. */
export const OPEN_METRICS_END = '# EOF\n';

/** Adds metrics in the text format of Prometheus to a text of the format. */
export function joinMetrics(format: MetricsFormat, text: string, more: string): string {
  if (format === 'prometheus') {
    return text + more;
  }
  // A counter has the suffix only in its samples.
  const named = more.replace(/^(# (?:HELP|TYPE) \w+)_total /gm, '$1 ');
  return text.replace(OPEN_METRICS_END, '') + named + OPEN_METRICS_END;
}
