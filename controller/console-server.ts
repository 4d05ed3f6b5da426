/** Serves the console of a cluster at an address of its own. TLS ends before it. */
import { createServer } from 'node:http';
import { consoleHandler } from '../console/api/server.ts';
import type { Address } from '../runtime/environment.ts';
import type { Log } from '../runtime/log.ts';
import type { ClusterConsole } from './console.ts';

export interface ConsoleServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Of browsers and of a proxy before it; a page opens up to six. */
const MAX_CONNECTIONS = 256;

/** Rejects with the system's error if the address cannot be bound. */
export async function startConsoleServer(
  { host, port }: Extract<Address, { readonly type: 'tcp' }>,
  console: Pick<ClusterConsole, 'answer'>,
  log: Log,
): Promise<ConsoleServer> {
  const handle = consoleHandler({
    answer: (request) => console.answer(request),
    onError: (error) => log.warn({ err: error }, 'console cannot answer'),
  });
  const server = createServer((request, response) => {
    if (!handle(request, response)) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('The console is at /console/.\n');
    }
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = 10_000;
  server.headersTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
