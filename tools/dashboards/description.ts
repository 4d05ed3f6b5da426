/** How dashboards are described. `build.ts` turns a description into Grafana's model. */

export interface DashboardDescription {
  /** Names the file and, after `tallygate-`, the dashboard in URLs. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** The time range that Grafana shows first, such as `now-6h`. */
  readonly from: string;
  readonly filters: readonly FilterDescription[];
  readonly rows: readonly RowDescription[];
}

/** A variable with the values of a label. */
export interface FilterDescription {
  readonly name: string;
  readonly label: string;
  readonly description: string;
  /** The metric whose label has the values. */
  readonly metric: string;
  readonly of: string;
}

export interface RowDescription {
  readonly title: string;
  readonly panels: readonly PanelDescription[];
}

interface AnyPanel {
  readonly title: string;
  /** What the panel shows, and what to do about a bad value. */
  readonly description: string;
  readonly unit: GrafanaUnit;
  readonly queries: readonly QueryDescription[];
  /** In 24ths of the page. */
  readonly width: number;
  /** From which value on the panel is orange and red: the background, the bar, or a dashed line. */
  readonly bad?: { readonly orange?: number; readonly red?: number };
}

export type PanelDescription =
  | (AnyPanel & { readonly type: 'lines' })
  | (AnyPanel & { readonly type: 'areas' })
  | (AnyPanel & { readonly type: 'bars' })
  | (AnyPanel & { readonly type: 'ranking' })
  | (AnyPanel & { readonly type: 'stat'; readonly texts?: ValueTexts })
  | (AnyPanel & { readonly type: 'states'; readonly texts: ValueTexts })
  | (AnyPanel & { readonly type: 'table'; readonly columns: readonly ColumnDescription[] });

/** Texts in place of values, by value. */
export type ValueTexts = Readonly<Record<string, { readonly text: string; readonly color: Color }>>;

export type Color = 'green' | 'orange' | 'red' | 'blue' | 'purple';

/** Units of Grafana. Amounts of money have none, because their currency is a label. */
export type GrafanaUnit =
  | 'short'
  | 'none'
  | 'percentunit'
  | 'percent'
  | 's'
  | 'bytes'
  | 'Bps'
  | 'reqps'
  | 'ops'
  | 'dateTimeFromNow';

export interface QueryDescription {
  readonly expr: string;
  /** Absent in tables. */
  readonly legend?: string;
}

/** A column of a table: a label, or the value of a query by its place. */
export interface ColumnDescription {
  readonly of: string | number;
  readonly title: string;
  readonly unit?: GrafanaUnit;
  /** Shows the value as a bar, of which 1 is the full length. */
  readonly isShare?: true;
  /** The column by which the table is sorted, highest first. */
  readonly isSorted?: true;
}
