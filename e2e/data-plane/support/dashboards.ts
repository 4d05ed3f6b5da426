/** The dashboards of the chart in Grafana's model, and what their queries return. */
import type { PrometheusServer } from '../../../fixtures/prometheus-server.ts';

export interface ShownDashboard {
  readonly title: string;
  readonly panels: readonly ShownPanel[];
  readonly templating: { readonly list: readonly DashboardVariable[] };
}

export interface ShownPanel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly PanelTarget[];
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}

export interface PanelTarget {
  readonly expr: string;
  readonly legendFormat?: string;
  readonly instant?: boolean;
}

interface DashboardVariable {
  readonly type: string;
  readonly name: string;
  readonly query: string | { readonly query: string };
}

/** Leaves out the rows. */
export function panelsIn({ panels }: ShownDashboard): readonly ShownPanel[] {
  return panels.filter(({ type }) => type !== 'row');
}

/** Replaces the variables as Grafana does with `All`. `window` is short, as a test is. */
export function withoutVariables(expr: string, window: string): string {
  return expr
    .replaceAll('$__rate_interval', window)
    .replaceAll('$__range', window)
    .replaceAll(/"\$[a-z]+"/g, '".*"');
}

/** Returns the queries without a number, after the titles of their panels. */
export async function emptyQueries(
  prometheus: PrometheusServer,
  panels: readonly ShownPanel[],
  window: string,
): Promise<readonly string[]> {
  const empty: string[] = [];
  for (const { title, targets = [] } of panels) {
    for (const { expr } of targets) {
      const samples = await prometheus.query(withoutVariables(expr, window));
      if (!samples.some(({ value }) => Number.isFinite(value))) {
        empty.push(`${title}: ${expr}`);
      }
    }
  }
  return empty;
}
