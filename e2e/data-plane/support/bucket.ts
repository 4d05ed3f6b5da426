/** An S3-compatible bucket that stores objects whose requests are signed by Signature Version 4. */
import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Output } from './leaks/outputs.ts';

export interface StoredObject {
  readonly key: string;
  readonly body: string;
  readonly headers: http.IncomingHttpHeaders;
}

export interface Bucket {
  readonly url: string;
  readonly objects: readonly StoredObject[];
  /** Requests whose signature is wrong. */
  readonly refused: number;
  stop(): void;
}

export async function startBucket(keyId: string, secretKey: string, region: string): Promise<Bucket> {
  const objects: StoredObject[] = [];
  const output = new Output('an object of the bucket', ['content']);
  let refused = 0;
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
    }
    const body = Buffer.concat(chunks);
    if (request.headers.authorization !== expected(request, body, keyId, secretKey, region)) {
      refused++;
      response.writeHead(403).end();
      return;
    }
    output.add(`${request.url}\n${body}\n`);
    const [key = ''] = (request.url ?? '').split('?');
    objects.push({ key, body: body.toString(), headers: request.headers });
    response.writeHead(200).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    objects,
    get refused() {
      return refused;
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** As https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. */
function expected(
  request: http.IncomingMessage,
  body: Buffer,
  keyId: string,
  secretKey: string,
  region: string,
): string {
  const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
  const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();
  const names = /SignedHeaders=([^,]+)/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const headers = names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}\n`);
  const [path, query = ''] = (request.url ?? '').split('?');
  const canonical = [request.method, path, query, headers.join(''), names, sha256(body)].join('\n');
  const time = String(request.headers['x-amz-date']);
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
  const key = scope.split('/').reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${secretKey}`);
  const signature = createHmac('sha256', key).update(text).digest('hex');
  return `AWS4-HMAC-SHA256 Credential=${keyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
}
