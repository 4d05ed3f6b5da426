/** Sends content as log records by OTLP, with the exporters of OpenTelemetry. */

import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { LogRecordExporter, ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { ContentEntry } from './entry.ts';
import { type ContentSender, SEND_TIMEOUT_MS, type SendFailure } from './sender.ts';
import type { OtlpContentTarget } from './target.ts';

/** The event of the conventions that has prompts and answers. */
const EVENT_NAME = 'gen_ai.client.inference.operation.details';
const scope = { name: 'tallygate.content' };
const MAX_OPEN = 2;
/** The exporters count a call for a moment after its end. */
const EXPORTER_OPEN = 2 * MAX_OPEN;
/** Collectors take 4 MB of gRPC by default. */
const MAX_UNITS = 1024 * 1024;

export async function otlpContentSender(
  target: OtlpContentTarget,
  headers: ExportHeaders,
  timeoutMs: number = SEND_TIMEOUT_MS,
): Promise<ContentSender> {
  const exporter = await newExporter(target, headers, timeoutMs);
  const resource = resourceFromAttributes({ 'service.name': 'tallygate' });
  return {
    maxEntries: 512,
    maxUnits: MAX_UNITS,
    delayMs: 0,
    maxOpen: MAX_OPEN,
    send: (entries) =>
      new Promise((resolve) => {
        exporter.export(
          entries.map((entry) => logRecord(entry, resource)),
          ({ code, error }) =>
            resolve(
              code === 0
                ? { accepted: entries.length, failure: undefined }
                : { accepted: 0, failure: failureOf(error, target) },
            ),
        );
      }),
  };
}

/** The exporters read compression and certificates from the environment. */
async function newExporter(
  { url, protocol }: OtlpContentTarget,
  headers: ExportHeaders,
  timeoutMs: number,
): Promise<LogRecordExporter> {
  const options = { url, headers: { ...headers }, timeoutMillis: timeoutMs, concurrencyLimit: EXPORTER_OPEN };
  switch (protocol) {
    case 'grpc': {
      const [{ OTLPLogExporter }, { Metadata }] = await Promise.all([
        import('@opentelemetry/exporter-logs-otlp-grpc'),
        import('@grpc/grpc-js'),
      ]);
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(headers)) {
        metadata.set(name, value);
      }
      return new OTLPLogExporter({ url, metadata, timeoutMillis: timeoutMs, concurrencyLimit: EXPORTER_OPEN });
    }
    case 'http/json': {
      const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-http');
      return new OTLPLogExporter(options);
    }
    case 'http/protobuf': {
      const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-proto');
      return new OTLPLogExporter(options);
    }
    default:
      throw new Error(`unknown protocol ${protocol satisfies never}`);
  }
}

const CHECK_HEADERS = 'check TALLYGATE_CONTENT_EXPORT_HEADERS';
const CHECK_URL = 'check the URL and protocol in TALLYGATE_CONTENT_EXPORT';

/** What an operator does about a status that is not tried again. */
const httpFixes: Readonly<Record<number, string>> = {
  401: CHECK_HEADERS,
  403: CHECK_HEADERS,
  404: CHECK_URL,
  405: CHECK_URL,
  415: CHECK_URL,
};
const grpcFixes: Readonly<Record<number, string | undefined>> = {
  3: undefined,
  7: CHECK_HEADERS,
  12: CHECK_URL,
  16: CHECK_HEADERS,
};

/** The collector chooses the text of an error. */
function failureOf(error: Error | undefined, { protocol }: OtlpContentTarget): SendFailure {
  const code = error !== undefined && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
  if (code === undefined) {
    return { reason: 'export_failed', text: error?.message ?? 'the collector did not answer' };
  }
  const fix = protocol === 'grpc' ? grpcFixes[code] : httpFixes[code];
  const isFinal = protocol === 'grpc' ? code in grpcFixes : code < 500 && code !== 408 && code !== 429;
  const text = `the collector answered ${code}`;
  return { reason: isFinal ? 'export_refused' : 'export_failed', text: fix ? `${text}: ${fix}` : text };
}

function logRecord(
  { id, timeMs, span, attributes, instructions, input, output }: ContentEntry,
  resource: Resource,
): ReadableLogRecord {
  const hrTime: [number, number] = [Math.floor(timeMs / 1000), (timeMs % 1000) * 1_000_000];
  return {
    hrTime,
    hrTimeObserved: hrTime,
    eventName: EVENT_NAME,
    severityNumber: 9,
    severityText: 'INFO',
    ...(span && { spanContext: span }),
    attributes: {
      ...attributes,
      'tallygate.content.id': id,
      ...(instructions && { 'gen_ai.system_instructions': [...instructions] }),
      ...(input && { 'gen_ai.input.messages': input.map((message) => ({ ...message })) }),
      ...(output && { 'gen_ai.output.messages': output.map((message) => ({ ...message })) }),
    },
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
  };
}
