/** Turns descriptions of dashboards into Grafana's model. */
import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import * as common from '@grafana/grafana-foundation-sdk/common';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import type {
  ColumnDescription,
  DashboardDescription,
  FilterDescription,
  PanelDescription,
  QueryDescription,
  ValueTexts,
} from './description.ts';

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
const TAG = 'tallygate';
const STAT_HEIGHT = 4;
const PANEL_HEIGHT = 8;

type Builder = Parameters<DashboardBuilder['withPanel']>[0];
type PanelBuilder =
  | timeseries.PanelBuilder
  | stat.PanelBuilder
  | bargauge.PanelBuilder
  | table.PanelBuilder
  | statetimeline.PanelBuilder;
type PanelOf<T extends PanelDescription['type']> = Extract<PanelDescription, { readonly type: T }>;

export function buildDashboard(description: DashboardDescription): Dashboard {
  const links = new DashboardLinkBuilder('Tallygate')
    .type(DashboardLinkType.Dashboards)
    .tags([TAG])
    .asDropdown(true)
    .keepTime(true);
  const builder = new DashboardBuilder(description.title)
    .uid(`tallygate-${description.name}`)
    .description(description.description)
    .tags([TAG])
    .time({ from: description.from, to: 'now' })
    .refresh('1m')
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .link(links)
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'));
  for (const filter of description.filters) {
    builder.withVariable(variable(filter));
  }
  for (const row of description.rows) {
    builder.withRow(new RowBuilder(row.title));
    for (const panel of row.panels) {
      builder.withPanel(panelBuilder(panel) as Builder);
    }
  }
  return builder.build();
}

function variable({ name, label, description, metric, of }: FilterDescription): QueryVariableBuilder {
  const query = `label_values(${metric}, ${of})`;
  return (
    new QueryVariableBuilder(name)
      .label(label)
      .description(description)
      .datasource(DATASOURCE)
      .query({ query, refId: name })
      .definition(query)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .sort(VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      // Also requests without the label.
      .allValue('.*')
      .current({ selected: true, text: 'All', value: '$__all' })
  );
}

function panelBuilder(panel: PanelDescription): PanelBuilder {
  const builder = typedPanel(panel)
    .title(panel.title)
    .description(panel.description)
    .datasource(DATASOURCE)
    .unit(panel.unit)
    .height(panel.type === 'stat' ? STAT_HEIGHT : PANEL_HEIGHT)
    .span(panel.width)
    .targets(panel.queries.map((query, index) => target(query, index, panel.type)));
  // Without thresholds, Grafana paints values from 80 on red.
  return builder.thresholds(thresholds(panel.bad));
}

function typedPanel(panel: PanelDescription): PanelBuilder {
  switch (panel.type) {
    case 'lines':
    case 'areas':
    case 'bars':
      return lines(panel);
    case 'stat':
      return statPanel(panel);
    case 'ranking':
      return ranking(panel);
    case 'states':
      return states(panel);
    case 'table':
      return tablePanel(panel);
  }
}

function target({ expr, legend }: QueryDescription, index: number, type: PanelDescription['type']): DataqueryBuilder {
  const query = new DataqueryBuilder().datasource(DATASOURCE).refId(refId(index)).expr(expr);
  if (legend !== undefined) {
    query.legendFormat(legend);
  }
  switch (type) {
    case 'table':
      return query.instant().format(PromQueryFormat.Table);
    case 'ranking':
      return query.instant();
    default:
      return query.range();
  }
}

const refId = (index: number) => String.fromCharCode('A'.charCodeAt(0) + index);

function lines({ type, bad }: PanelOf<'lines' | 'areas' | 'bars'>): timeseries.PanelBuilder {
  const style = bad === undefined ? common.GraphThresholdsStyleMode.Off : common.GraphThresholdsStyleMode.Dashed;
  const builder = new timeseries.PanelBuilder()
    .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(style))
    .min(0)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['mean', 'max', 'lastNotNull'])
        .sortBy('Mean')
        .sortDesc(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .showPoints(common.VisibilityMode.Never)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName));
  switch (type) {
    case 'lines':
      return builder.fillOpacity(0);
    case 'areas':
      return builder.fillOpacity(30).stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal));
    case 'bars':
      return builder
        .drawStyle(common.GraphDrawStyle.Bars)
        .fillOpacity(70)
        .stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal));
  }
}

function statPanel({ bad, texts, queries }: PanelOf<'stat'>): stat.PanelBuilder {
  return new stat.PanelBuilder()
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .graphMode(texts === undefined ? common.BigValueGraphMode.Area : common.BigValueGraphMode.None)
    .colorMode(
      bad === undefined && texts === undefined ? common.BigValueColorMode.None : common.BigValueColorMode.Background,
    )
    .textMode(queries[0]?.legend === undefined ? common.BigValueTextMode.Value : common.BigValueTextMode.ValueAndName)
    .mappings(mappings(texts))
    .noValue('–');
}

function ranking({ unit }: PanelOf<'ranking'>): bargauge.PanelBuilder {
  const builder = new bargauge.PanelBuilder()
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .orientation(common.VizOrientation.Horizontal)
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .namePlacement(common.BarGaugeNamePlacement.Left)
    .min(0);
  return unit === 'percentunit' ? builder.max(1) : builder;
}

function states({ texts }: PanelOf<'states'>): statetimeline.PanelBuilder {
  return new statetimeline.PanelBuilder().mappings(mappings(texts)).mergeValues(true).rowHeight(0.8);
}

function tablePanel({ columns, queries }: PanelOf<'table'>): table.PanelBuilder {
  const field = ({ of }: ColumnDescription) => (typeof of === 'string' ? of : valueField(of, queries.length));
  const builder = new table.PanelBuilder()
    .filterable(true)
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: { Time: true },
        indexByName: Object.fromEntries(columns.map((column, index) => [field(column), index])),
        renameByName: Object.fromEntries(columns.map((column) => [field(column), column.title])),
      },
    })
    .sortBy(
      columns
        .filter(({ isSorted }) => isSorted === true)
        .map(({ title }) => new common.TableSortByFieldStateBuilder().displayName(title).desc(true)),
    );
  for (const column of columns) {
    const properties = columnProperties(column);
    if (properties.length > 0) {
      builder.overrideByName(column.title, properties);
    }
  }
  return builder;
}

/** Returns the name that Grafana gives to the values of a query after the merge. */
function valueField(query: number, queries: number): string {
  return queries === 1 ? 'Value' : `Value #${refId(query)}`;
}

function columnProperties({ unit, isShare }: ColumnDescription): DynamicConfigValue[] {
  return [
    ...(unit === undefined ? [] : [{ id: 'unit', value: unit }]),
    ...(isShare === true
      ? [
          { id: 'min', value: 0 },
          { id: 'max', value: 1 },
          { id: 'custom.cellOptions', value: { type: 'gauge', mode: 'basic' } },
        ]
      : []),
  ];
}

function thresholds({ orange, red }: NonNullable<PanelDescription['bad']> = {}): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([
      { value: null, color: 'green' },
      ...(orange === undefined ? [] : [{ value: orange, color: 'orange' }]),
      ...(red === undefined ? [] : [{ value: red, color: 'red' }]),
    ]);
}

function mappings(texts: ValueTexts = {}): ValueMapping[] {
  const options = Object.entries(texts).map(([value, result], index) => [value, { ...result, index }] as const);
  return options.length === 0 ? [] : [{ type: MappingType.ValueToText, options: Object.fromEntries(options) }];
}

/** Returns the panels of a dashboard, without the rows. */
export function panelsOf({ panels = [] }: Dashboard): readonly Panel[] {
  return panels.filter((panel): panel is Panel => panel.type !== 'row');
}
