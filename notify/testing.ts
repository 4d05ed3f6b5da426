/** Shared by tests: a report, and a receiver of webhooks. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ThresholdReport } from '../contract/budget-report.ts';

export const nowMs = Date.parse('2026-11-20T12:00:00Z');
export const monthReport: ThresholdReport = {
  quota: 'default/budgets/team-month',
  key: [{ type: 'Tenant', value: 'search' }],
  percent: 80,
  type: 'Cost',
  currency: 'USD',
  window: { type: 'Calendar', unit: 'Month' },
  spent: '400.000000001',
  held: '1.5',
  limit: '500',
  startMs: Date.parse('2026-11-01T00:00:00Z'),
  endMs: Date.parse('2026-12-01T00:00:00Z'),
  atMs: nowMs,
};

export const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface TestReceiver {
  readonly url: string;
  readonly requests: ReceivedRequest[];
  /** The answers to the next requests, then 204; 0 never answers. */
  readonly statuses: number[];
  stop(): Promise<void>;
}

export async function startTestReceiver(): Promise<TestReceiver> {
  const requests: ReceivedRequest[] = [];
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => (body += text));
    request.on('end', () => {
      requests.push({ path: request.url ?? '', headers: request.headers, body });
      const status = statuses.shift() ?? 204;
      if (status !== 0) {
        response.writeHead(status, { location: '/elsewhere' }).end();
      }
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/budget`,
    requests,
    statuses,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
