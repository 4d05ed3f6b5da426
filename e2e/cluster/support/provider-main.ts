/**
 * The simulated provider as a program in a pod. Port 8080 serves requests; on port 8081, GET
 * returns the recorded requests, PUT sets the default behaviour, and DELETE forgets the requests
 * that it returns.
 */
import http from 'node:http';
import { startProvider } from '../../data-plane/support/provider.ts';

const provider = await startProvider({}, 8080, '0.0.0.0');

http
  .createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) {
      pieces.push(piece);
    }
    if (request.method === 'PUT') {
      provider.defaults = JSON.parse(Buffer.concat(pieces).toString());
    }
    const seen = [...provider.seen];
    if (request.method === 'DELETE') {
      provider.forget();
    }
    response.end(JSON.stringify({ seen, open: provider.openCount() }));
  })
  .listen(8081, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
