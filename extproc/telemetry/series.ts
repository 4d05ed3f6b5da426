/** The metrics of one tuple of route, backend and models, to which each of its requests adds. */
import type { Attributes } from '@opentelemetry/api';
import { currencyUnits } from '../../contract/money.ts';
import type { ExemplarSpan, Histogram, HistogramCell, MetricTable, Sum, SumCell } from '../../runtime/metric-table.ts';
import type { Operation, RequestCost, RequestRecord } from '../record.ts';
import type { Usage } from '../usage.ts';
import { errorType } from './error-type.ts';
import { newUsageCounters, type UsageCounter } from './inference-usage.ts';
import { attribute, boundaries, GATEWAY, latestMetric, metric, OTHER, PROVIDER_NAMES } from './names.ts';

/**
 * A series has about a hundred lines in a scrape. Past this number, requests count in one series
 * without names.
 */
const MAX_SERIES = 1000;
/**
 * Providers choose the names in responses, and clients those that match a glob; past this number of
 * each, a model is `other`.
 */
const MAX_UNKNOWN_MODELS = 200;
const MAX_MODEL_CHARACTERS = 128;
const MAX_ERRORS_A_SERIES = 64;

const TOKEN_KINDS = [
  ['input', 'input'],
  ['output', 'output'],
  ['cached_input', 'cachedInput'],
  ['cache_write_input', 'cacheWriteInput'],
  ['cache_write_1h_input', 'cacheWrite1hInput'],
  ['reasoning_output', 'reasoningOutput'],
  ['audio_input', 'audioInput'],
  ['audio_output', 'audioOutput'],
] as const satisfies readonly (readonly [string, keyof Usage])[];

/** Returns the series of a request. */
export type SeriesOf = (outcome: RequestRecord) => Series;

/** `latest`: with the metrics of the development version of the conventions. */
export function newSeries(table: MetricTable, latest: boolean): SeriesOf {
  const { operationDuration, timeToFirstChunk } = latest ? latestMetric : metric;
  const instruments = {
    tokenUsage: table.histogram(metric.tokenUsage, boundaries.tokens),
    duration: table.histogram(metric.requestDuration, boundaries.durationSeconds),
    firstToken: table.histogram(metric.timeToFirstToken, boundaries.firstTokenSeconds),
    operation: table.histogram(operationDuration, boundaries.durationSeconds),
    firstChunk: table.histogram(timeToFirstChunk, boundaries.firstTokenSeconds),
    perToken: table.histogram(metric.timePerOutputToken, boundaries.tokenSeconds),
    drift: table.histogram(metric.drift, boundaries.driftPercent),
    tokens: table.sum(metric.tokens),
    cost: table.sum(metric.cost),
    unmetered: table.sum(metric.unmetered),
    streamsCut: table.sum(metric.streamsCut),
    usageCounter: latest ? newUsageCounters(table) : undefined,
  };
  const known = new Map<string, Series>();
  const requestLabel = newModelLabel();
  const responseLabel = newModelLabel();
  let overflow: Series | undefined;

  return (outcome) => {
    const { operation, schema, model, modelIsKnown, route, rule, backend, responseModel: served } = outcome;
    const requestModel = model === undefined || modelIsKnown ? model : requestLabel(model, isServed(model, served));
    const responseModel = served === undefined ? undefined : responseLabel(served, true);
    // Names of Kubernetes objects have no line feed, and those of models are at the end.
    const key = `${route}\n${rule}\n${backend}\n${operation}\n${requestModel}\n${responseModel}`;
    const found = known.get(key);
    if (found) {
      return found;
    }
    if (known.size >= MAX_SERIES) {
      overflow ??= new Series(instruments, { 'otel.metric.overflow': true });
      return overflow;
    }
    const created = new Series(
      instruments,
      present({
        [attribute.operation]: operation,
        [attribute.provider]: schema === undefined ? GATEWAY : (PROVIDER_NAMES[schema] ?? schema),
        [attribute.requestModel]: requestModel,
        [attribute.responseModel]: responseModel,
        [attribute.route]: route,
        [attribute.rule]: rule,
        [attribute.backend]: backend,
      }),
    );
    known.set(key, created);
    return created;
  };
}

/** Returns a function that returns new names only while there are few, and otherwise `other`. */
function newModelLabel(): (model: string, isAllowed: boolean) => string {
  const known = new Set<string>();
  return (model, isAllowed) => {
    if (known.has(model)) {
      return model;
    }
    if (!isAllowed || known.size >= MAX_UNKNOWN_MODELS || model.length > MAX_MODEL_CHARACTERS) {
      return OTHER;
    }
    known.add(model);
    return model;
  };
}

/** Whether a response names the model, or a version of it, so that no client has invented it. */
function isServed(model: string, served: string | undefined): boolean {
  return served?.startsWith(model) === true && (served.length === model.length || served[model.length] === '-');
}

type Instruments = {
  readonly [K in
    | 'tokenUsage'
    | 'duration'
    | 'firstToken'
    | 'operation'
    | 'firstChunk'
    | 'perToken'
    | 'drift']: Histogram;
} & { readonly [K in 'tokens' | 'cost' | 'unmetered' | 'streamsCut']: Sum } & {
  readonly usageCounter: ((attributes: Attributes) => UsageCounter) | undefined;
};

/** Creates a cell when it is first needed, so that a scrape shows only what happened. */
export class Series {
  readonly #instruments: Instruments;
  readonly #attributes: Attributes;
  readonly #hasOutput: boolean;
  readonly #durations: OutcomeCells;
  readonly #operations: OutcomeCells;
  #firstChunk: HistogramCell | undefined;
  readonly #countUsage: UsageCounter | undefined;
  #input: HistogramCell | undefined;
  #output: HistogramCell | undefined;
  #firstToken: HistogramCell | undefined;
  #perToken: HistogramCell | undefined;
  #drift: HistogramCell | undefined;
  readonly #tokens = new Map<string, (SumCell | undefined)[]>();
  /** By currency, of which the prices of a backend have few. */
  readonly #costs = new Map<string, SumCell>();
  #unmetered: SumCell | undefined;
  #streamsCut: SumCell | undefined;

  constructor(instruments: Instruments, attributes: Attributes) {
    this.#instruments = instruments;
    this.#attributes = attributes;
    this.#durations = new OutcomeCells(instruments.duration, attributes);
    this.#operations = new OutcomeCells(instruments.operation, attributes);
    this.#countUsage = instruments.usageCounter?.(attributes);
    this.#hasOutput = OUTPUT.has(attributes[attribute.operation] as Operation);
  }

  /** `traced`: whether the trace of the request is exported. */
  record(outcome: RequestRecord, traced: boolean): void {
    const { usage, source, decision } = outcome;
    const error = errorType(outcome);
    const request = traced ? requestSpan(outcome) : undefined;
    const attempt = request && attemptSpan(outcome, request);
    this.#durations.record(error, (outcome.endMs - outcome.startMs) / 1000, request);
    if (outcome.forwardedMs !== undefined && outcome.schema !== undefined) {
      this.#operations.record(error, (outcome.endMs - outcome.forwardedMs) / 1000, attempt);
    }
    this.#recordPace(outcome, request, attempt);
    if (usage !== undefined && source !== undefined) {
      this.#recordTokens(usage, source, attempt);
    }
    if (usage !== undefined) {
      this.#countUsage?.(usage);
      this.#recordDrift(usage, outcome.estimatedOutputTokens);
    }
    if (outcome.cost !== undefined) {
      this.#recordCost(outcome.cost);
    }
    if (outcome.unmetered) {
      this.#unmetered ??= this.#instruments.unmetered.cell(this.#attributes);
      this.#unmetered.value++;
    }
    if (decision.type === 'cut') {
      this.#streamsCut ??= this.#instruments.streamsCut.cell(this.#attributes);
      this.#streamsCut.value++;
    }
  }

  #recordPace(outcome: RequestRecord, request: ExemplarSpan | undefined, attempt: ExemplarSpan | undefined): void {
    const { firstTokenMs, startMs, endMs, usage, stream, failure, clientLeft, broken, forwardedMs } = outcome;
    // The first token of a unary response is not visible.
    if (!stream || firstTokenMs === undefined) {
      return;
    }
    this.#firstToken ??= this.#instruments.firstToken.cell(this.#attributes);
    this.#firstToken.record((firstTokenMs - startMs) / 1000, request);
    if (forwardedMs !== undefined) {
      this.#firstChunk ??= this.#instruments.firstChunk.cell(this.#attributes);
      this.#firstChunk.record((firstTokenMs - forwardedMs) / 1000, attempt);
    }
    if (usage === undefined || usage.output < 2 || failure !== undefined || clientLeft || broken !== undefined) {
      return;
    }
    this.#perToken ??= this.#instruments.perToken.cell(this.#attributes);
    this.#perToken.record((endMs - firstTokenMs) / 1000 / (usage.output - 1), request);
  }

  #recordTokens(usage: Usage, source: string, span: ExemplarSpan | undefined): void {
    this.#input ??= this.#usageCell('input');
    this.#input.record(usage.input, span);
    if (this.#hasOutput) {
      this.#output ??= this.#usageCell('output');
      this.#output.record(usage.output, span);
    }
    let cells = this.#tokens.get(source);
    if (cells === undefined) {
      cells = new Array(TOKEN_KINDS.length).fill(undefined);
      this.#tokens.set(source, cells);
    }
    for (let i = 0; i < TOKEN_KINDS.length; i++) {
      const tokens = usage[TOKEN_KINDS[i]![1]];
      if (tokens === 0) {
        continue;
      }
      cells[i] ??= this.#instruments.tokens.cell({
        ...this.#attributes,
        [attribute.tokenType]: TOKEN_KINDS[i]![0],
        [attribute.source]: source,
      });
      cells[i]!.value += tokens;
    }
  }

  #recordCost({ nanos, currency }: RequestCost): void {
    let cell = this.#costs.get(currency);
    if (cell === undefined) {
      cell = this.#instruments.cost.cell({ ...this.#attributes, [attribute.currency]: currency });
      this.#costs.set(currency, cell);
    }
    cell.value += currencyUnits(nanos);
  }

  #usageCell(type: 'input' | 'output'): HistogramCell {
    return this.#instruments.tokenUsage.cell({ ...this.#attributes, [attribute.tokenType]: type });
  }

  #recordDrift(usage: Usage, estimated: number | undefined): void {
    // Reasoning is billed whether or not it is streamed, so the visible part of the output is
    // unknown.
    if (estimated === undefined || usage.output === 0 || usage.reasoningOutput > 0) {
      return;
    }
    this.#drift ??= this.#instruments.drift.cell(this.#attributes);
    this.#drift.record(((estimated - usage.output) / usage.output) * 100);
  }
}

/** The cells of one series, by the error. */
class OutcomeCells {
  readonly #histogram: Histogram;
  readonly #attributes: Attributes;
  #success: HistogramCell | undefined;
  readonly #errors = new Map<string, HistogramCell>();

  constructor(histogram: Histogram, attributes: Attributes) {
    this.#histogram = histogram;
    this.#attributes = attributes;
  }

  record(error: string | undefined, seconds: number, span: ExemplarSpan | undefined): void {
    if (error === undefined) {
      this.#success ??= this.#histogram.cell(this.#attributes);
      this.#success.record(seconds, span);
      return;
    }
    const type = this.#errors.has(error) || this.#errors.size < MAX_ERRORS_A_SERIES ? error : OTHER;
    let cell = this.#errors.get(type);
    if (cell === undefined) {
      cell = this.#histogram.cell({ ...this.#attributes, [attribute.errorType]: type });
      this.#errors.set(type, cell);
    }
    cell.record(seconds, span);
  }
}

function requestSpan({ trace, endMs }: RequestRecord): ExemplarSpan | undefined {
  return trace && { traceId: trace.traceId, spanId: trace.spanId, timeMs: endMs };
}

/** The span of the attempt that served is the one that calls a model. */
function attemptSpan({ trace }: RequestRecord, request: ExemplarSpan): ExemplarSpan {
  const attempt = trace?.attempts.at(-1);
  return attempt === undefined ? request : { ...request, spanId: attempt.spanId };
}

const OUTPUT: ReadonlySet<Operation> = new Set([
  'chat',
  'text_completion',
  'generate_content',
  'image_generation',
  'speech',
  'transcription',
]);

function present(attributes: Readonly<Record<string, string | undefined>>): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as Attributes;
}
