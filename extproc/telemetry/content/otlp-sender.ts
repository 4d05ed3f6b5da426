/** Sends content as log records by OTLP, with the transports of OpenTelemetry. */
import { JsonLogsSerializer, ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ExportHeaders } from '../../quota/export/target.ts';
import { logSignal, newOtlpExporter, type OtlpBytes, type OtlpOutcome } from '../otlp-exporter.ts';
import type { ContentEntry } from './entry.ts';
import { LogMessage } from './log-message.ts';
import { type ContentSender, SEND_TIMEOUT_MS, type SendFailure, type SendOutcome } from './sender.ts';
import type { OtlpContentTarget } from './target.ts';

const scope = { name: 'tallygate.content' };
const resource = resourceFromAttributes({ 'service.name': 'tallygate' });
const MAX_OPEN = 2;
/** Collectors take 4 MB of gRPC by default. */
const MAX_UNITS = 1024 * 1024;
const MAX_ENTRIES = 512;

export async function otlpContentSender(
  target: OtlpContentTarget,
  headers: ExportHeaders,
  timeoutMs: number = SEND_TIMEOUT_MS,
): Promise<ContentSender> {
  const send = await newSend(target, headers, timeoutMs);
  return {
    maxEntries: MAX_ENTRIES,
    maxUnits: MAX_UNITS,
    // The thread gets many entries at a time.
    delayMs: 0,
    maxOpen: MAX_OPEN,
    async send(entries) {
      const { dropped, error } = await send(entries);
      const failure = error && failureOf(error, target);
      return { accepted: entries.length - dropped, failure: failure ?? (dropped > 0 ? rejection : undefined) };
    },
  };
}

const rejection: SendOutcome['failure'] = {
  reason: 'export_refused',
  text: 'the collector rejected some of the log records',
};

type LogsResponse = ReturnType<typeof JsonLogsSerializer.deserializeResponse>;

const rejected = ({ partialSuccess }: LogsResponse) => partialSuccess?.rejectedLogRecords;

/** The transports read compression and certificates from the environment. */
async function newSend(
  { url, protocol }: OtlpContentTarget,
  headers: ExportHeaders,
  timeoutMs: number,
): Promise<(entries: readonly ContentEntry[]) => Promise<OtlpOutcome>> {
  const settings = { url, headers: { ...headers }, timeoutMillis: timeoutMs };
  if (protocol === 'http/json') {
    const { readableLogRecord } = await import('./readable-log-record.ts');
    const serializer = {
      serialize: JsonLogsSerializer.serializeRequest,
      deserialize: JsonLogsSerializer.deserializeResponse,
      rejected,
      count: (records: ReadableLogRecord[]) => records.length,
    };
    const exporter = await newOtlpExporter(logSignal, protocol, serializer, settings);
    return (entries) => exporter.send(entries.map((entry) => readableLogRecord(entry, resource, scope)));
  }
  const serializer = {
    serialize: ({ bytes }: OtlpBytes) => bytes,
    deserialize: ProtobufLogsSerializer.deserializeResponse,
    rejected,
    count: ({ count }: OtlpBytes) => count,
  };
  const exporter = await newOtlpExporter(logSignal, protocol, serializer, settings);
  const message = new LogMessage(resource, scope);
  return (entries) => {
    for (const entry of entries) {
      message.add(entry);
    }
    return exporter.send({ bytes: message.take(), count: entries.length });
  };
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
function failureOf(error: Error, { protocol }: OtlpContentTarget): SendFailure {
  const code = 'code' in error && typeof error.code === 'number' ? error.code : undefined;
  if (code === undefined) {
    return { reason: 'export_failed', text: error.message };
  }
  const fix = protocol === 'grpc' ? grpcFixes[code] : httpFixes[code];
  const isFinal = protocol === 'grpc' ? code in grpcFixes : code < 500 && code !== 408 && code !== 429;
  const text = `the collector answered ${code}`;
  return { reason: isFinal ? 'export_refused' : 'export_failed', text: fix ? `${text}: ${fix}` : text };
}
