/** Sends spans by the exporters of OpenTelemetry, which read their settings themselves. */
import { type ExportResult, ExportResultCode, type InstrumentationScope } from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import {
  type IExporterMetricsHelper,
  type ISerializer,
  JsonTraceSerializer,
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

type TraceResponse = ReturnType<typeof JsonTraceSerializer.deserializeResponse>;

/** Notes how many spans the collector rejects of a message that it accepts. */
class NotingSerializer<Message> implements ISerializer<Message, TraceResponse> {
  rejected = 0;
  readonly serializeRequest: (message: Message) => Uint8Array | undefined;
  readonly #read: (response: Uint8Array) => TraceResponse;

  constructor(
    serializeRequest: (message: Message) => Uint8Array | undefined,
    read: (response: Uint8Array) => TraceResponse,
  ) {
    this.serializeRequest = serializeRequest;
    this.#read = read;
  }

  deserializeResponse(data: Uint8Array): TraceResponse {
    const response = this.#read(data);
    this.rejected = Number(response.partialSuccess?.rejectedSpans ?? 0);
    return response;
  }
}

type Exporter<Message> = Pick<OTLPExporterBase<Message>, 'export'>;

function exported<Message>(
  exporter: Exporter<Message>,
  serializer: NotingSerializer<Message>,
  message: Message,
  count: number,
): Promise<SentSpans> {
  return new Promise((resolve) => {
    exporter.export(message, (result) => {
      // The response is read in the same turn.
      resolve(sentSpans(result, count, serializer.rejected));
      serializer.rejected = 0;
    });
  });
}

async function protobufSender(
  protocol: 'http/protobuf' | 'grpc',
  resource: Resource,
  scope: InstrumentationScope,
): Promise<SpanSender> {
  const message = new SpanMessage(resource, scope);
  const { deserializeResponse } = ProtobufTraceSerializer;
  const serializer = new NotingSerializer(({ bytes }: EncodedSpans) => bytes, deserializeResponse);
  const countItems = ({ count }: EncodedSpans) => count;
  const exporter =
    protocol === 'grpc'
      ? await grpcExporter(serializer, { name: 'span', countItems })
      : httpExporter('application/x-protobuf', serializer, { name: 'span', countItems });
  let count = 0;
  return {
    add(span) {
      message.add(span);
      count++;
    },
    send() {
      const sent = { bytes: message.take(), count };
      count = 0;
      return exported(exporter, serializer, sent, sent.count);
    },
  };
}

function httpExporter<Message>(
  contentType: string,
  serializer: ISerializer<Message, unknown>,
  helper: IExporterMetricsHelper<Message>,
): Exporter<Message> {
  const options = convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', { 'Content-Type': contentType });
  const component = 'otlp_http_span_exporter';
  return new OTLPExporterBase(createOtlpHttpExportDelegate(options, serializer, component, helper, undefined));
}

async function grpcExporter<Message>(
  serializer: ISerializer<Message, unknown>,
  helper: IExporterMetricsHelper<Message>,
): Promise<Exporter<Message>> {
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
  const { readableSpan } = await import('./readable-span.ts');
  const { serializeRequest, deserializeResponse } = JsonTraceSerializer;
  const serializer = new NotingSerializer(serializeRequest, deserializeResponse);
  const countItems = (spans: ReadableSpan[]) => spans.length;
  const exporter = httpExporter('application/json', serializer, { name: 'span', countItems });
  let spans: ReadableSpan[] = [];
  return {
    add: (span) => spans.push(readableSpan(span, resource, scope)),
    send() {
      const sent = spans;
      spans = [];
      return exported(exporter, serializer, sent, sent.length);
    },
  };
}

function sentSpans({ code, error }: ExportResult, count: number, rejected: number): SentSpans {
  if (code !== ExportResultCode.SUCCESS) {
    return { dropped: count, failure: (error?.message ?? 'unknown').slice(0, MAX_FAILURE_CHARACTERS) };
  }
  // The collector chooses the number, and may send none.
  return rejected > 0
    ? { dropped: Math.min(rejected, count), failure: 'the collector rejected some of the spans' }
    : { dropped: 0, failure: undefined };
}
