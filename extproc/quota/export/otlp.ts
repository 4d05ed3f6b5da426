/** Exports usage as log records by OTLP over HTTP, with the exporter of OpenTelemetry. */
import type { Attributes } from '@opentelemetry/api';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ExplainedRequest } from '../usage-explain.ts';
import { type ExportedUsage, resultOf, SEND_TIMEOUT_MS, type UsageSender } from './sender.ts';
import type { ExportHeaders } from './target.ts';

const EVENT_NAME = 'tallygate.usage';
const scope = { name: 'tallygate.usage' };

/** Attributes by the members of a record; those of tokens follow. */
const members: readonly (readonly [attribute: string, member: keyof ExplainedRequest])[] = [
  ['tallygate.request.id', 'requestId'],
  ['tallygate.decision', 'decision'],
  ['http.response.status_code', 'status'],
  ['tallygate.tenant', 'tenant'],
  ['user.id', 'user'],
  ['tallygate.api_key', 'key'],
  ['gen_ai.request.model', 'model'],
  ['gen_ai.response.model', 'served'],
  ['tallygate.route', 'route'],
  ['tallygate.backend', 'backend'],
  ['session.id', 'session'],
  ['tallygate.source', 'source'],
  ['tallygate.cost', 'cost'],
  ['tallygate.currency', 'currency'],
  ['tallygate.price.version', 'catalog'],
];

/** Two names are those of OpenTelemetry's conventions for generative AI. */
const tokenAttributes: Readonly<Record<string, string>> = {
  input: 'gen_ai.usage.input_tokens',
  output: 'gen_ai.usage.output_tokens',
  cachedInput: 'tallygate.tokens.cached_input',
  cacheWriteInput: 'tallygate.tokens.cache_write_input',
  cacheWrite1hInput: 'tallygate.tokens.cache_write_1h_input',
  reasoningOutput: 'tallygate.tokens.reasoning_output',
  audioInput: 'tallygate.tokens.audio_input',
  audioOutput: 'tallygate.tokens.audio_output',
  imageInput: 'tallygate.tokens.image_input',
  imageOutput: 'tallygate.tokens.image_output',
};

export function otlpSender(
  url: string,
  headers: ExportHeaders,
  source: string,
  timeoutMs: number = SEND_TIMEOUT_MS,
): UsageSender {
  const exporter = new OTLPLogExporter({ url, headers, timeoutMillis: timeoutMs, concurrencyLimit: 1 });
  const resource = resourceFromAttributes({ 'service.name': 'tallygate', 'service.instance.id': source });
  return {
    send: (records) =>
      new Promise((resolve) => {
        exporter.export(
          records.map((record) => logRecord(record, resource)),
          ({ code, error }) => {
            if (code === 0) {
              resolve({ type: 'accepted' });
            } else if (error !== undefined && 'code' in error && typeof error.code === 'number') {
              resolve(resultOf(error.code));
            } else {
              resolve({ type: 'failed', reason: error?.message ?? 'the collector did not answer' });
            }
          },
        );
      }),
  };
}

function logRecord({ id, request }: ExportedUsage, resource: ReadableLogRecord['resource']): ReadableLogRecord {
  const timeMs = Date.parse(request.time);
  const hrTime: [number, number] = [Math.floor(timeMs / 1000), (timeMs % 1000) * 1_000_000];
  return {
    hrTime,
    hrTimeObserved: hrTime,
    eventName: EVENT_NAME,
    severityNumber: 9,
    severityText: 'INFO',
    body: 'usage of a request',
    attributes: attributesOf(id, request),
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
  };
}

function attributesOf(id: string, request: ExplainedRequest): Attributes {
  const attributes: Attributes = { 'tallygate.usage.id': id };
  for (const [attribute, member] of members) {
    const value = request[member];
    if (typeof value === 'string' || typeof value === 'number') {
      attributes[attribute] = value;
    }
  }
  for (const [kind, tokens] of Object.entries(request.tokens ?? {})) {
    const attribute = tokenAttributes[kind];
    if (attribute !== undefined) {
      attributes[attribute] = tokens;
    }
  }
  return attributes;
}
