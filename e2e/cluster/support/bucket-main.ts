/** A bucket in a pod: port 8080 stores any object, port 8081 returns what was stored. */
import http, { type IncomingMessage } from 'node:http';

interface StoredObject {
  readonly path: string | undefined;
  readonly authorization: string | undefined;
  readonly body: string;
}

const objects: StoredObject[] = [];

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

http
  .createServer(async (request, response) => {
    const body = await bodyOf(request);
    objects.push({ path: request.url, authorization: request.headers.authorization, body });
    response.end();
  })
  .listen(8080, '0.0.0.0');

http.createServer((_, response) => response.end(JSON.stringify(objects))).listen(8081, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
