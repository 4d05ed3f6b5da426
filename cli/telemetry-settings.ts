/** What the environment says about traces and metrics for a collector. */
import { randomUUID } from 'node:crypto';
import type { Outcome } from '../extproc/telemetry/traces/sampling.ts';
import type { Traces } from '../extproc/telemetry/traces/traces.ts';
import type { Log } from '../runtime/log.ts';
import type { OtlpMetrics } from '../runtime/open-telemetry.ts';
import type { TelemetryService } from '../runtime/telemetry-resource.ts';
import type { Settings } from './environment.ts';
import { versionText } from './version.ts';

const LATEST = 'gen_ai_latest_experimental';

export function telemetryService(serviceName: string): TelemetryService {
  return { serviceName, serviceVersion: versionText(), instanceId: randomUUID() };
}

/** Returns undefined where the metrics have no collector. */
export function otlpMetrics(settings: Settings, service: TelemetryService): OtlpMetrics | undefined {
  const endpoint = settings.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT ?? settings.OTEL_EXPORTER_OTLP_ENDPOINT;
  return isOn(settings, endpoint, settings.OTEL_METRICS_EXPORTER)
    ? {
        service,
        protocol: settings.OTEL_EXPORTER_OTLP_PROTOCOL,
        intervalMs: settings.OTEL_METRIC_EXPORT_INTERVAL,
        timeoutMs: settings.OTEL_METRIC_EXPORT_TIMEOUT,
      }
    : undefined;
}

/** Returns undefined where the traces have no collector. */
export async function openTraces(settings: Settings, service: TelemetryService, log: Log): Promise<Traces | undefined> {
  const endpoint = settings.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? settings.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!isOn(settings, endpoint, settings.OTEL_TRACES_EXPORTER)) {
    return undefined;
  }
  const { newTraces } = await import('../extproc/telemetry/traces/traces.ts');
  return newTraces({
    sampler: settings.OTEL_TRACES_SAMPLER,
    ratio: settings.OTEL_TRACES_SAMPLER_ARG,
    always: settings.TALLYGATE_TRACES_ALWAYS.filter((outcome): outcome is Outcome => outcome !== 'none'),
    hashesKeys: settings.TALLYGATE_METRIC_KEYS === 'hashed',
    maxSpans: settings.OTEL_BSP_MAX_QUEUE_SIZE,
    delayMs: settings.OTEL_BSP_SCHEDULE_DELAY,
    worker: {
      service,
      protocol: settings.OTEL_EXPORTER_OTLP_PROTOCOL,
      latest: optsIntoLatest(settings),
      openInference: settings.TALLYGATE_OPENINFERENCE === 'on',
    },
    onCollector: (failure) => {
      if (failure === undefined) {
        log.info({}, 'trace collector accepts spans again');
      } else {
        log.warn({ failure }, 'trace collector does not accept spans, they are dropped');
      }
    },
  });
}

/** Whether names of the development version of the conventions are wanted. */
export function optsIntoLatest({ OTEL_SEMCONV_STABILITY_OPT_IN }: Settings): boolean {
  return OTEL_SEMCONV_STABILITY_OPT_IN.split(',').some((word) => word.trim() === LATEST);
}

function isOn({ OTEL_SDK_DISABLED }: Settings, endpoint: string | undefined, exporter: 'otlp' | 'none'): boolean {
  return OTEL_SDK_DISABLED !== 'true' && endpoint !== undefined && exporter !== 'none';
}
