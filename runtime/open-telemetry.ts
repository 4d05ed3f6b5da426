/**
 * Starts OpenTelemetry for a process: metrics for Prometheus always, OTLP where an endpoint is
 * named by the standard variables.
 */
import { type MeterProvider as Meters, metrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, type MetricProducer, type MetricReader } from '@opentelemetry/sdk-metrics';
import { metricProducer } from './metric-producer.ts';
import type { MetricTable } from './metric-table.ts';
import { prometheusText } from './prometheus-text.ts';

export interface OpenTelemetryOptions {
  readonly serviceName: string;
  /**
   * `OTEL_EXPORTER_OTLP_ENDPOINT` is set: the SDK reads it, and the headers that belong to it,
   * itself.
   */
  readonly otlp: boolean;
  /** Metrics of hot paths. */
  readonly tables: readonly MetricTable[];
}

export interface OpenTelemetry {
  readonly meterProvider: Meters;
  /** All metrics in Prometheus' text format. */
  prometheusText(): Promise<string>;
  shutdown(): Promise<void>;
}

/**
 * The global meter provider is set from here on: instruments made before stay without effect. Once
 * a process.
 */
export async function startOpenTelemetry({ serviceName, otlp, tables }: OpenTelemetryOptions): Promise<OpenTelemetry> {
  const metricProducers = tables.map((table) => metricProducer(table, serviceName, Date.now));
  const reader = new PrometheusExporter({ preventServerStart: true, metricProducers });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const sdk = otlp ? await withOtlp(serviceName, reader, metricProducers) : prometheusOnly(reader);
  return {
    meterProvider: metrics.getMeterProvider(),
    async prometheusText() {
      const { resourceMetrics } = await reader.collect();
      return prometheusText(serializer, resourceMetrics);
    },
    shutdown: () => sdk.shutdown(),
  };
}

interface Sdk {
  shutdown(): Promise<void>;
}

function prometheusOnly(reader: MetricReader): Sdk {
  const provider = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  return provider;
}

/** Loaded only here: the whole SDK takes 15 MB more. Traces go by the standard variables too. */
async function withOtlp(serviceName: string, reader: MetricReader, metricProducers: MetricProducer[]): Promise<Sdk> {
  const [{ NodeSDK }, { OTLPMetricExporter }, { PeriodicExportingMetricReader }] = await Promise.all([
    import('@opentelemetry/sdk-node'),
    import('@opentelemetry/exporter-metrics-otlp-proto'),
    import('@opentelemetry/sdk-metrics'),
  ]);
  const otlpReader = new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(), metricProducers });
  const sdk = new NodeSDK({
    serviceName,
    metricReaders: [reader, otlpReader],
    logRecordProcessors: [],
    instrumentations: [],
  });
  sdk.start();
  return sdk;
}
