/** Serves the console of a cluster at an address of its own. TLS ends before it. */
import { consoleHandler } from '../console/api/server.ts';
import type { Address } from '../runtime/environment.ts';
import { type HttpServer, startHttpServer } from '../runtime/http-server.ts';
import type { Log } from '../runtime/log.ts';
import type { ClusterConsole } from './console.ts';

/** Of browsers and of a proxy before it; a page opens up to six. */
const MAX_CONNECTIONS = 256;

/** Rejects with the system's error if the address cannot be bound. */
export async function startConsoleServer(
  address: Address,
  console: Pick<ClusterConsole, 'answer'>,
  log: Log,
): Promise<HttpServer> {
  const answer = consoleHandler({
    answer: (request) => console.answer(request),
    onError: (error) => log.warn({ err: error }, 'console cannot answer'),
  });
  return await startHttpServer({
    address,
    maxConnections: MAX_CONNECTIONS,
    handle: (request, response) => {
      if (!answer(request, response)) {
        response.writeHead(404, { 'content-type': 'text/plain' }).end('The console is at /console/.\n');
      }
    },
  });
}
