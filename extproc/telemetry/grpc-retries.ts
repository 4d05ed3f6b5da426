/**
 * Sends again what a collector could not accept for a moment. OpenTelemetry's exporters do so by
 * HTTP, but not by gRPC.
 */
import type { ExportResult } from '@opentelemetry/core';
import { ExportResultCode } from '@opentelemetry/core';

interface MessageExporter<T> {
  export(message: T, done: (result: ExportResult) => void): void;
}

/**
 * CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and DATA_LOSS
 * (https://opentelemetry.io/docs/specs/otlp/#failures). RESOURCE_EXHAUSTED is not among them,
 * because collectors do not say when they will have room.
 */
const RETRYABLE_CODES: ReadonlySet<unknown> = new Set([1, 4, 10, 11, 14, 15]);

/** Those of OpenTelemetry's exporters by HTTP. */
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 5000;
const PAUSE_FACTOR = 1.5;
const JITTER = 0.2;

/** Stops before a pause that would end after the time limit. */
export function withRetries<T>(exporter: MessageExporter<T>, timeoutMs: number): MessageExporter<T> {
  return {
    export(message, done) {
      const endMs = performance.now() + timeoutMs;
      let pauseMs = FIRST_PAUSE_MS;
      const attempt = () => {
        exporter.export(message, (result) => {
          const waitMs = pauseMs * (1 + (2 * Math.random() - 1) * JITTER);
          if (!isRetryable(result) || performance.now() + waitMs > endMs) {
            done(result);
            return;
          }
          pauseMs = Math.min(pauseMs * PAUSE_FACTOR, MAX_PAUSE_MS);
          setTimeout(attempt, waitMs);
        });
      };
      attempt();
    },
  };
}

function isRetryable({ code, error }: ExportResult): boolean {
  return code !== ExportResultCode.SUCCESS && error !== undefined && 'code' in error && RETRYABLE_CODES.has(error.code);
}
