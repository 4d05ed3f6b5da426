/** Sends spans by the exporters of OpenTelemetry, which read their settings themselves. */
import { type ExportResult, ExportResultCode, type InstrumentationScope } from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import {
  type IExporterMetricsHelper,
  type ISerializer,
  ProtobufTraceSerializer,
} from '@opentelemetry/otlp-transformer';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { OtlpProtocol } from '../../../runtime/otlp-protocols.ts';
import { withRetries } from './grpc-retries.ts';
import { SpanMessage } from './span-message.ts';
import type { FinishedSpan } from './spans.ts';

export interface SpanSender {
  /** Adds a span to the next message. */
  add(span: FinishedSpan): void;
  /** Sends the message. */
  send(): Promise<SentSpans>;
}

export interface SentSpans {
  /** Spans of the message that the collector did not accept. */
  readonly dropped: number;
  readonly failure: string | undefined;
}

/** The collector chooses the text. */
const MAX_FAILURE_CHARACTERS = 300;

export async function newSpanSender(
  protocol: OtlpProtocol,
  resource: Resource,
  scope: InstrumentationScope,
): Promise<SpanSender> {
  switch (protocol) {
    case 'http/json':
      return jsonSender(resource, scope);
    case 'http/protobuf':
    case 'grpc':
      return protobufSender(protocol, resource, scope);
    default:
      throw new Error(`unknown protocol ${protocol satisfies never}`);
  }
}

interface EncodedSpans {
  readonly bytes: Uint8Array;
  readonly count: number;
}

async function protobufSender(
  protocol: 'http/protobuf' | 'grpc',
  resource: Resource,
  scope: InstrumentationScope,
): Promise<SpanSender> {
  const message = new SpanMessage(resource, scope);
  let rejected = 0;
  const serializer: ISerializer<EncodedSpans, unknown> = {
    serializeRequest: ({ bytes }) => bytes,
    deserializeResponse: (data) => {
      const response = ProtobufTraceSerializer.deserializeResponse(data);
      rejected = Number(response.partialSuccess?.rejectedSpans ?? 0);
      return response;
    },
  };
  const exporter = await bytesExporter(protocol, serializer);
  let count = 0;
  return {
    add(span) {
      message.add(span);
      count++;
    },
    send: () =>
      new Promise((resolve) => {
        const sent = { bytes: message.take(), count };
        count = 0;
        exporter.export(sent, (result) => {
          // The response is read in the same turn.
          resolve(sentSpans(result, sent.count, rejected));
          rejected = 0;
        });
      }),
  };
}

async function bytesExporter(
  protocol: 'http/protobuf' | 'grpc',
  serializer: ISerializer<EncodedSpans, unknown>,
): Promise<Pick<OTLPExporterBase<EncodedSpans>, 'export'>> {
  const helper: IExporterMetricsHelper<EncodedSpans> = { name: 'span', countItems: ({ count }: EncodedSpans) => count };
  if (protocol === 'http/protobuf') {
    const headers = { 'Content-Type': 'application/x-protobuf' };
    const options = convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', headers);
    const component = 'otlp_http_span_exporter';
    return new OTLPExporterBase(createOtlpHttpExportDelegate(options, serializer, component, helper, undefined));
  }
  const { convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate } = await import(
    '@opentelemetry/otlp-grpc-exporter-base'
  );
  const options = convertLegacyOtlpGrpcOptions({}, 'TRACES');
  const delegate = createOtlpGrpcExportDelegate(
    options,
    serializer,
    'otlp_grpc_span_exporter',
    helper,
    undefined,
    'TraceExportService',
    '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  );
  return withRetries(new OTLPExporterBase(delegate), options.timeoutMillis);
}

async function jsonSender(resource: Resource, scope: InstrumentationScope): Promise<SpanSender> {
  const [{ OTLPTraceExporter }, { readableSpan }] = await Promise.all([
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('./readable-span.ts'),
  ]);
  const exporter = new OTLPTraceExporter();
  let spans: ReadableSpan[] = [];
  return {
    add: (span) => spans.push(readableSpan(span, resource, scope)),
    send: () =>
      new Promise((resolve) => {
        const sent = spans;
        spans = [];
        exporter.export(sent, (result) => resolve(sentSpans(result, sent.length, 0)));
      }),
  };
}

function sentSpans({ code, error }: ExportResult, count: number, rejected: number): SentSpans {
  if (code !== ExportResultCode.SUCCESS) {
    return { dropped: count, failure: (error?.message ?? 'unknown').slice(0, MAX_FAILURE_CHARACTERS) };
  }
  return rejected === 0
    ? { dropped: 0, failure: undefined }
    : { dropped: Math.min(rejected, count), failure: 'the collector rejected some of the spans' };
}
