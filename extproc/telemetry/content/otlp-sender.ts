/** Sends content as log records by OTLP over HTTP, with the exporter of OpenTelemetry. */
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { ContentEntry } from './entry.ts';
import { type ContentSender, SEND_TIMEOUT_MS } from './sender.ts';
import type { OtlpContentTarget } from './target.ts';

/** The event of the conventions that has prompts and answers. */
const EVENT_NAME = 'gen_ai.client.inference.operation.details';
const scope = { name: 'tallygate.content' };

export function otlpContentSender(
  { url }: OtlpContentTarget,
  headers: ExportHeaders,
  timeoutMs: number = SEND_TIMEOUT_MS,
): ContentSender {
  const exporter = new OTLPLogExporter({ url, headers, timeoutMillis: timeoutMs, concurrencyLimit: 1 });
  const resource = resourceFromAttributes({ 'service.name': 'tallygate' });
  return {
    maxEntries: 32,
    send: (entries) =>
      new Promise((resolve) => {
        exporter.export(
          entries.map((entry) => logRecord(entry, resource)),
          ({ code, error }) =>
            resolve(
              code === 0
                ? { accepted: entries.length, failure: undefined }
                : { accepted: 0, failure: error?.message ?? 'the collector did not answer' },
            ),
        );
      }),
  };
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
