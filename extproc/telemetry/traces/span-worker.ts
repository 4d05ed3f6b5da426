/**
 * The thread that builds and sends spans, so that neither a slow collector nor the encoding takes
 * time of the thread that carries traffic. What waits here is bounded by `SpanQueue`.
 */
import { randomFillSync } from 'node:crypto';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { OtlpProtocol } from '../../../runtime/otlp-protocols.ts';
import { type TelemetryService, telemetryResource } from '../../../runtime/telemetry-resource.ts';
import { newIdSource } from '../../trace-context.ts';
import type { SpanNaming } from './span-attributes.ts';
import { newSpanSender } from './span-sender.ts';
import { type SpanOptions, spansOf } from './spans.ts';
import type { TracedRequest } from './traced-request.ts';

export interface SpanWorkerOptions extends SpanNaming {
  readonly protocol: OtlpProtocol;
  readonly service: TelemetryService;
}

/** Requests as JSON. */
export type SpanTask = readonly string[];

export interface SpanReport {
  /** How many of the requests are done. */
  readonly requests: number;
  readonly exported: number;
  readonly dropped: number;
  /** Why spans were dropped. */
  readonly failure: string | undefined;
  readonly closed: boolean;
}

/**
 * Collectors accept messages of 4 MiB by gRPC. Encoded spans take about twice the characters of
 * their requests.
 */
const MAX_CHARACTERS_A_MESSAGE = 512 * 1024;
/** Messages that wait for the collector at the same time. */
const MAX_OPEN_MESSAGES = 4;

const options = workerData as SpanWorkerOptions;
const port = parentPort as MessagePort;
const sender = await newSpanSender(options.protocol, telemetryResource(options.service), {
  name: 'tallygate',
  version: options.service.serviceVersion,
});
const spanOptions: SpanOptions = { ...options, drawId: newIdSource(randomFillSync) };

const waiting: string[] = [];
let openMessages = 0;
let isClosing = false;

port.on('message', (task: SpanTask | 'close') => {
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
    void sendMessage();
  }
  if (isClosing && openMessages === 0) {
    report({ requests: 0, exported: 0, dropped: 0, failure: undefined, closed: true });
    port.close();
  }
}

async function sendMessage(): Promise<void> {
  let requests = 0;
  let spans = 0;
  let characters = 0;
  while (requests < waiting.length && characters < MAX_CHARACTERS_A_MESSAGE) {
    const request = waiting[requests]!;
    for (const span of spansOf(JSON.parse(request) as TracedRequest, spanOptions)) {
      sender.add(span);
      spans++;
    }
    characters += request.length;
    requests++;
  }
  waiting.splice(0, requests);
  openMessages++;
  const { dropped, failure } = await sender.send();
  openMessages--;
  report({ requests, exported: spans - dropped, dropped, failure, closed: false });
  send();
}

function report(message: SpanReport): void {
  port.postMessage(message);
}
