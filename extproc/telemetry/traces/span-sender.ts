/** Sends spans by OTLP, with the transports of OpenTelemetry. */
import type { InstrumentationScope } from '@opentelemetry/core';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { OtlpProtocol } from '../../../runtime/otlp-protocols.ts';
import { newOtlpExporter, type OtlpBytes, type OtlpOutcome, traceSignal } from '../otlp-exporter.ts';
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

type TraceResponse = ReturnType<typeof JsonTraceSerializer.deserializeResponse>;

const rejected = ({ partialSuccess }: TraceResponse) => partialSuccess?.rejectedSpans;

async function protobufSender(
  protocol: 'http/protobuf' | 'grpc',
  resource: Resource,
  scope: InstrumentationScope,
): Promise<SpanSender> {
  const message = new SpanMessage(resource, scope);
  const exporter = await newOtlpExporter(traceSignal, protocol, {
    serialize: ({ bytes }: OtlpBytes) => bytes,
    deserialize: ProtobufTraceSerializer.deserializeResponse,
    rejected,
    count: ({ count }) => count,
  });
  let count = 0;
  return {
    add(span) {
      message.add(span);
      count++;
    },
    async send() {
      const sent = { bytes: message.take(), count };
      count = 0;
      return sentSpans(await exporter.send(sent));
    },
  };
}

async function jsonSender(resource: Resource, scope: InstrumentationScope): Promise<SpanSender> {
  const { readableSpan } = await import('./readable-span.ts');
  const exporter = await newOtlpExporter(traceSignal, 'http/json', {
    serialize: JsonTraceSerializer.serializeRequest,
    deserialize: JsonTraceSerializer.deserializeResponse,
    rejected,
    count: (spans: ReadableSpan[]) => spans.length,
  });
  let spans: ReadableSpan[] = [];
  return {
    add: (span) => spans.push(readableSpan(span, resource, scope)),
    async send() {
      const sent = spans;
      spans = [];
      return sentSpans(await exporter.send(sent));
    },
  };
}

function sentSpans({ dropped, error }: OtlpOutcome): SentSpans {
  if (error !== undefined) {
    return { dropped, failure: error.message.slice(0, MAX_FAILURE_CHARACTERS) };
  }
  return { dropped, failure: dropped > 0 ? 'the collector rejected some of the spans' : undefined };
}
