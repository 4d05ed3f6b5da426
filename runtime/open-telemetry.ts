/**
 * Starts OpenTelemetry for a process: metrics for Prometheus always, and OTLP if the standard
 * variables name an endpoint.
 */
import { type MeterProvider as Meters, metrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, type MetricProducer, type MetricReader } from '@opentelemetry/sdk-metrics';
import { metricProducer } from './metric-producer.ts';
import type { MetricTable } from './metric-table.ts';
import { prometheusText } from './prometheus-text.ts';

export interface OpenTelemetryOptions {
  readonly serviceName: string;
  /** Whether `OTEL_EXPORTER_OTLP_ENDPOINT` is set. The SDK reads it and its headers itself. */
  readonly otlp: boolean;
  /** Metrics of hot paths. */
  readonly tables: readonly MetricTable[];
}

export interface OpenTelemetry {
  readonly meterProvider: Meters;
  /** Returns all metrics in the text format of Prometheus. */
  prometheusText(): Promise<string>;
  shutdown(): Promise<void>;
}

/**
 * Sets the global meter provider; instruments that were created before have no effect. Call it once
 * per process.
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

/** Loads the whole SDK here, because it takes 15 MB. Exports traces by the standard variables. */
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
