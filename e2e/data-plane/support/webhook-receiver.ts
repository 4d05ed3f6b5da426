/** A receiver of budget alerts that verifies signatures with the official library. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { Output } from './leaks/outputs.ts';
import type { Document } from './resources.ts';

export interface AlertEvent {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly data: {
    readonly quota: string;
    readonly key: readonly { readonly type: string; readonly value: string }[];
    readonly percent: number;
    readonly spent: string;
    readonly limit: string;
  };
}

export interface WebhookReceiver {
  readonly url: string;
  /** Events with a valid signature that were accepted. */
  readonly events: readonly AlertEvent[];
  /** Why requests were not accepted. */
  readonly faults: readonly string[];
  /** While true, requests are answered with 503. */
  isAway: boolean;
  /** Requests that were answered with 503. */
  readonly refused: readonly AlertEvent[];
  stop(): Promise<void>;
}

export const SIGNING_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/** The Secret that policies refer to as `webhook`. */
export const signingSecret: Document = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'webhook', namespace: 'default' },
  stringData: { secret: SIGNING_SECRET },
};

export async function startWebhookReceiver(port = 0, host = '127.0.0.1'): Promise<WebhookReceiver> {
  const key = new Webhook(SIGNING_SECRET);
  const events: AlertEvent[] = [];
  const refused: AlertEvent[] = [];
  const faults: string[] = [];
  const output = new Output('an alert about a budget');
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('utf8')) {
      body += part;
    }
    output.add(body);
    try {
      const event = key.verify(body, request.headers as Record<string, string>) as AlertEvent;
      (receiver.isAway ? refused : events).push(event);
      response.writeHead(receiver.isAway ? 503 : 204).end();
    } catch (error) {
      faults.push(String(error));
      response.writeHead(401).end();
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(port, host, resolve);
  });
  const receiver = {
    url: `http://${host}:${(server.address() as AddressInfo).port}/budget`,
    events,
    refused,
    faults,
    isAway: false,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}
