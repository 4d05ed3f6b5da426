/** The environment of worker threads whose libraries export by OTLP. */

/**
 * Returns the variables without the headers that the exporters of OpenTelemetry add by
 * themselves: credentials of the collector of traces are not for other collectors.
 */
export function withoutOtlpHeaders(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { OTEL_EXPORTER_OTLP_HEADERS: _, OTEL_EXPORTER_OTLP_LOGS_HEADERS: __, ...others } = environment;
  return others;
}
