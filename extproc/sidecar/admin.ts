/** Reads from the admin interface of the Envoy in the same pod. */
import { get } from 'node:http';

export interface AdminAddress {
  readonly host: string;
  readonly port: number;
}

const TIMEOUT_MS = 10_000;

export function readAdmin({ host, port }: AdminAddress, path: string, maxBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path, agent: false, timeout: TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > maxBytes) {
          request.destroy(new Error(`the answer of Envoy's admin interface exceeds ${maxBytes} bytes`));
        }
      });
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) {
          resolve(text);
        } else {
          reject(new Error(`Envoy's admin interface answered ${response.statusCode}`));
        }
      });
    });
    request.on('timeout', () =>
      request.destroy(new Error(`Envoy's admin interface did not answer within ${TIMEOUT_MS} ms`)),
    );
    request.on('error', reject);
  });
}
