/**
 * The thread that builds and sends spans, so that neither a slow collector nor the encoding takes
 * time of the thread that carries traffic. What waits here is bounded by `SpanQueue`.
 */
import { randomFillSync } from 'node:crypto';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { OtlpProtocol } from '../../../runtime/otlp-protocols.ts';
import { type TelemetryService, telemetryResource } from '../../../runtime/telemetry-resource.ts';
import { newIdSource } from '../../trace-context.ts';
import type { SpanNaming } from './span-attributes.ts';
import { type SpanOptions, spansOf } from './spans.ts';
import type { TracedRequest } from './traced-request.ts';

export interface SpanWorkerOptions extends SpanNaming {
  readonly protocol: OtlpProtocol;
  readonly service: TelemetryService;
}

/** Requests as JSON; `close` asks for the last report. */
export type SpanTask = readonly string[] | 'close';

export interface SpanReport {
  /** How many of the requests are done. */
  readonly requests: number;
  readonly exported: number;
  readonly dropped: number;
  /** Why spans were dropped. */
  readonly failure: string | undefined;
  readonly closed: boolean;
}

/** Spans of one message to the collector, about as many as the batch processor of the SDK sends. */
const MAX_SPANS_A_MESSAGE = 512;
/** Messages that wait for the collector at the same time. */
const MAX_OPEN_MESSAGES = 4;
const MAX_FAILURE_CHARACTERS = 300;

const options = workerData as SpanWorkerOptions;
const port = parentPort as MessagePort;
const exporter = await newExporter(options.protocol);
const spanOptions: SpanOptions = {
  ...options,
  resource: telemetryResource(options.service),
  scope: { name: 'tallygate', version: options.service.serviceVersion },
  drawId: newIdSource(randomFillSync),
};

const waiting: string[] = [];
let openMessages = 0;
let isClosing = false;

port.on('message', (task: SpanTask) => {
  if (task === 'close') {
    isClosing = true;
  } else {
    for (const request of task) {
      waiting.push(request);
    }
  }
  send();
});

function send(): void {
  while (waiting.length > 0 && openMessages < MAX_OPEN_MESSAGES) {
    const spans: ReadableSpan[] = [];
    let requests = 0;
    while (requests < waiting.length && spans.length < MAX_SPANS_A_MESSAGE) {
      spans.push(...spansOf(JSON.parse(waiting[requests]!) as TracedRequest, spanOptions));
      requests++;
    }
    waiting.splice(0, requests);
    openMessages++;
    exporter.export(spans, (result) => {
      openMessages--;
      const isExported = result.code === ExportResultCode.SUCCESS;
      report({
        requests,
        exported: isExported ? spans.length : 0,
        dropped: isExported ? 0 : spans.length,
        failure: isExported ? undefined : failureText(result),
        closed: false,
      });
      send();
    });
  }
  if (isClosing && openMessages === 0) {
    report({ requests: 0, exported: 0, dropped: 0, failure: undefined, closed: true });
    port.close();
  }
}

function report(message: SpanReport): void {
  port.postMessage(message);
}

/** The collector chooses the text. */
function failureText({ error }: ExportResult): string {
  return (error?.message ?? 'unknown').slice(0, MAX_FAILURE_CHARACTERS);
}

/** The exporters read the endpoint, headers, timeout, compression and certificates themselves. */
async function newExporter(protocol: OtlpProtocol): Promise<SpanExporter> {
  switch (protocol) {
    case 'grpc': {
      const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc');
      return new OTLPTraceExporter();
    }
    case 'http/json': {
      const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
      return new OTLPTraceExporter();
    }
    case 'http/protobuf': {
      const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
      return new OTLPTraceExporter();
    }
    default:
      throw new Error(`unknown protocol ${protocol satisfies never}`);
  }
}
