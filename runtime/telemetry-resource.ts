/** Describes this process to collectors: the same in all threads and signals. */
import { hostname } from 'node:os';
import { detectResources, envDetector, type Resource, resourceFromAttributes } from '@opentelemetry/resources';

export interface TelemetryService {
  readonly serviceName: string;
  readonly serviceVersion: string;
  /** Unique for each process. */
  readonly instanceId: string;
}

/** `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come before our own values. */
export function telemetryResource({ serviceName, serviceVersion, instanceId }: TelemetryService): Resource {
  return resourceFromAttributes({
    'service.name': serviceName,
    'service.version': serviceVersion,
    'service.instance.id': instanceId,
    'host.name': hostname(),
    'process.pid': process.pid,
  }).merge(detectResources({ detectors: [envDetector] }));
}
