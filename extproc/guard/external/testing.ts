/** Shared by tests: a service that answers as each test says. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ServiceRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface TestService {
  readonly url: string;
  readonly requests: ServiceRequest[];
  stop(): Promise<void>;
}

/** What a service does with a request; an object is sent as JSON. */
export type ServiceAnswer = object | ServiceHandler;

type ServiceHandler = (response: ServerResponse, request: IncomingMessage) => void;

/** Answers the requests in turn, and all later ones as the last. */
export async function startTestService(...answers: ServiceAnswer[]): Promise<TestService> {
  const requests: ServiceRequest[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => (body += text));
    request.on('end', () => {
      const answer = answers[Math.min(requests.length, answers.length - 1)]!;
      requests.push({ path: request.url ?? '', headers: request.headers, body });
      if (typeof answer === 'function') {
        (answer as ServiceHandler)(response, request);
      } else {
        response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
      }
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
