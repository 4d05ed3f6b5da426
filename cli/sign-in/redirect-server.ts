/** Receives the redirect of an authorization code flow on the loopback address (RFC 8252). */
import { spawn } from 'node:child_process';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OperatorError } from '../../standalone/operator-error.ts';

const PATH = '/callback';

export interface RedirectServer {
  readonly uri: string;
  /** Resolves with the URL of the first redirect with this state; rejects after `timeoutMs`. */
  redirect(state: string, timeoutMs: number): Promise<URL>;
  /** Shows the text in the browser, if it waits for one, and ends the server. */
  close(text: string): void;
}

/** Port 0 selects a free port. */
export async function openRedirectServer(port: number): Promise<RedirectServer> {
  let browser: ServerResponse | undefined;
  let expected: { readonly state: string; readonly resolve: (url: URL) => void } | undefined;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', uri);
    // Another program on this machine or a page in the browser may send anything here.
    if (request.method !== 'GET' || url.pathname !== PATH || url.searchParams.get('state') !== expected?.state) {
      response.writeHead(404).end();
      return;
    }
    browser = response;
    expected?.resolve(url);
    expected = undefined;
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', () =>
      reject(new OperatorError(`port ${port} of 127.0.0.1 is in use; choose another one by --port`)),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`;
  return {
    uri,
    redirect: (state, timeoutMs) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new OperatorError('nobody signed in within the time; run tallygate login again'));
        }, timeoutMs);
        expected = {
          state,
          resolve: (url) => {
            clearTimeout(timer);
            resolve(url);
          },
        };
      }),
    close: (text) => {
      browser?.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(text);
      server.close();
    },
  };
}

/** Tries to open the page; the user can also open the address by hand. */
export function openBrowser(url: string, platform: NodeJS.Platform): void {
  const child = spawn(platform === 'darwin' ? 'open' : 'xdg-open', [url], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}
