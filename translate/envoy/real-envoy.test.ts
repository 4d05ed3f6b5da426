import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import { createServer as createTlsServer, request as tlsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Exchange, ExchangeHandler } from '../../extproc/exchange.ts';
import { type Server, startServer } from '../../extproc/server/server.ts';
import { freePorts } from '../../fixtures/free-ports.ts';
import { targetIds } from '../link/route-ids.ts';
import type { EnvoyOptions, Plan } from '../plan.ts';
import { problemText } from '../problem.ts';
import { readWorld } from '../read/read.ts';
import { translate } from '../translate.ts';
import { bootstrapText, envoyFiles } from './files.ts';

const routeSecret = 'of the tests';
const idOf = targetIds(routeSecret);
const binary = fileURLToPath(new URL('../../.tools/bin/envoy', import.meta.url));
const certificateFile = fileURLToPath(new URL('testdata/localhost.crt', import.meta.url));
const certificate = readFileSync(certificateFile, 'utf8');
const privateKey = readFileSync(new URL('testdata/localhost.key', import.meta.url), 'utf8');

function options(directory: string, adminPort: number): EnvoyOptions {
  return {
    directory,
    extproc: { type: 'Unix', path: join(directory, 'extproc.sock') },
    admin: { type: 'Tcp', host: '127.0.0.1', port: adminPort },
    listenAddress: '127.0.0.1',
    caBundle: certificateFile,
  };
}

/** Renames the file, because Envoy only notices renames. */
function install(plan: Plan, directory: string): readonly string[] {
  const changed = envoyFiles(plan).filter(({ name, text }) => {
    const path = join(directory, name);
    return !existsSync(path) || readFileSync(path, 'utf8') !== text;
  });
  for (const { name, text, mode } of changed) {
    writeFileSync(join(directory, `${name}.new`), text, { mode });
    renameSync(join(directory, `${name}.new`), join(directory, name));
  }
  return changed.map(({ name }) => name);
}

describe('Envoy with a processor', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tallygate-'));
  let envoy: ChildProcess;
  let processor: Server;
  let ports: { readonly plain: number; readonly secure: number; readonly admin: number };
  let providerPort: number;
  let secureProviderPort: number;
  let openStream: { readonly answer: (text: string) => void; readonly end: () => void } | undefined;

  const provider = createServer((incoming, answer) => {
    if (incoming.url?.startsWith('/v1/stream')) {
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      openStream = { answer: (text) => answer.write(text), end: () => answer.end() };
      answer.write('data: begin\n\n');
      return;
    }
    incoming.resume().on('end', () => answer.end(JSON.stringify({ url: incoming.url, headers: incoming.headers })));
  });
  const secureProvider = createTlsServer({ cert: certificate, key: privateKey }, (incoming, answer) => {
    answer.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }));
  });

  const planOf = (edit: (yaml: string) => string = (yaml) => yaml): Plan => {
    const text = edit(resources(ports.plain, ports.secure, providerPort, secureProviderPort));
    const { world, problems } = readWorld([{ name: 'test.yaml', text }], {
      environment: () => undefined,
      file: (path) => (path === 'certificate' ? certificate : privateKey),
    });
    const plan = translate(world, { routeSecret, envoy: options(directory, ports.admin) });
    assert.deepEqual([...problems, ...plan.problems].map(problemText), []);
    return plan;
  };

  const admin = async (path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${ports.admin}${path}`);
    return response.ok ? await response.text() : '';
  };
  const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
    for (let tries = 0; tries < 300; tries++) {
      if (await condition().catch(() => false)) {
        return;
      }
      await pause(20);
    }
    assert.fail(`waited in vain: ${what}`);
  };

  before(async () => {
    const listen = (server: typeof provider): Promise<number> =>
      new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
    [providerPort, secureProviderPort] = [await listen(provider), await listen(secureProvider)];
    const [plain, secure, adminPort] = await freePorts(3);
    ports = { plain: plain ?? 0, secure: secure ?? 0, admin: adminPort ?? 0 };
    install(planOf(), directory);
    const start = join(directory, 'bootstrap.json');
    writeFileSync(start, bootstrapText(options(directory, ports.admin)));
    processor = await startServer({ path: join(directory, 'extproc.sock'), beforeFlush: () => {}, handler });
    const args = ['-c', start, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'error'];
    envoy = spawn(binary, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    await until('Envoy listens', async () => (await admin('/ready')).includes('LIVE'));
  });

  after(async () => {
    envoy.kill('SIGKILL');
    provider.closeAllConnections();
    provider.close();
    secureProvider.closeAllConnections();
    secureProvider.close();
    await processor.close(0);
    rmSync(directory, { recursive: true });
  });

  const ask = (path: string, headers: Readonly<Record<string, string>>, body = '{}'): Promise<Answer> =>
    send(request({ host: '127.0.0.1', port: ports.plain, path, method: 'POST', headers, agent: false }), body);

  const credentials = {
    authorization: 'Bearer client',
    'x-api-key': 'client',
    'api-key': 'client',
    cookie: 'client=1',
  };

  test('the provider receives its own key, host and path, and nothing that identifies the client', async () => {
    const forged = { 'x-tallygate-route': 'default/chat/small/anthropic', 'x-tallygate-tenant': 'forged' };
    const headers = {
      ...credentials,
      ...forged,
      'x-steer': 'default/chat/small/openai',
      'x-forwarded-for': '192.0.2.1',
    };
    const { status, body } = await ask('/v1/chat/completions?beta=true', headers);
    assert.equal(status, 200);
    const seen = JSON.parse(body);
    assert.equal(seen.url, '/openai/v1beta/chat/completions?beta=true');
    assert.equal(seen.headers.authorization, 'Bearer key-of-openai');
    assert.equal(seen.headers.host, `127.0.0.1:${providerPort}`);
    for (const name of [
      'x-api-key',
      'api-key',
      'cookie',
      'x-tallygate-route',
      'x-tallygate-tenant',
      'x-forwarded-for',
    ]) {
      assert.equal(seen.headers[name], undefined, name);
    }
  });

  test('each backend of a rule receives its own key, in the header of its schema', async () => {
    const { body } = await ask('/v1/messages', { ...credentials, 'x-steer': 'default/chat/small/anthropic' });
    const { headers } = JSON.parse(body);
    assert.equal(headers['x-api-key'], 'key-of-anthropic');
    assert.equal(headers.authorization, undefined);
  });

  test('a forged route header reaches no provider', async () => {
    const { status } = await ask('/v1/x', { 'x-steer': 'stay', 'x-tallygate-route': 'default/chat/small/openai' });
    assert.equal(status, 404);
  });

  test('a listener serves TLS, and the certificate of a provider is verified with its own CA', async () => {
    const headers = { host: 'localhost', 'x-steer': 'default/chat/small/secure' };
    const at = {
      host: '127.0.0.1',
      port: ports.secure,
      servername: 'localhost',
      ca: certificate,
      agent: false,
    } as const;
    const { status, body } = await send(tlsRequest({ ...at, path: '/v1/x', method: 'POST', headers }), '{}');
    assert.equal(status, 200, body);
    assert.equal(JSON.parse(body).headers.host, `provider.test:${secureProviderPort}`);
    const wrong = await ask('/v1/x', { 'x-steer': 'default/chat/small/impostor' });
    assert.equal(wrong.status, 503, 'a certificate of another name is refused');
  });

  test('refusals of the processor pass unchanged, and local replies have the format of the provider', async () => {
    const own = await ask('/v1/messages', { 'x-steer': 'refuse' });
    assert.deepEqual([own.status, own.body, own.type], [429, '{"own":true}', 'application/json']);
    const openai = await ask('/v1/x', { 'x-steer': 'stay' });
    assert.equal(JSON.parse(openai.body).error.code, 'unknown_endpoint');
    const anthropic = await ask('/v1/x', { 'x-steer': 'stay', 'anthropic-version': '2023-06-01' });
    assert.equal(JSON.parse(anthropic.body).error.type, 'not_found_error');
    const tgi = await ask('/generate', { 'x-steer': 'stay' });
    assert.equal(JSON.parse(tgi.body).error_type, 'not_found');
    assert.equal(JSON.parse(tgi.body).code, 'unknown_endpoint');
    const upgrade = await ask('/v1/x', { 'x-steer': 'stay', connection: 'upgrade', upgrade: 'websocket' });
    assert.equal(upgrade.status, 403);
    assert.equal(JSON.parse(upgrade.body).error.code, 'forbidden');
    for (const { type } of [openai, anthropic, tgi, upgrade]) {
      assert.equal(type, 'application/json');
    }
  });

  test('an edit of routes, backends, keys and policies keeps the listener and its streams', async () => {
    const pieces: string[] = [];
    const stream = new Promise<void>((resolve, reject) => {
      const headers = { 'x-steer': 'default/chat/small/anthropic' };
      request({ host: '127.0.0.1', port: ports.plain, path: '/v1/stream', headers, agent: false }, (answer) => {
        answer
          .on('data', (piece) => pieces.push(String(piece)))
          .on('end', resolve)
          .on('error', reject);
      }).end();
    });
    await until('the stream has begun', async () => pieces.length > 0);

    const edit = (yaml: string): string =>
      yaml
        .replaceAll('key-of-', 'new-key-of-')
        .replace('name: x-other', 'name: x-another')
        .replace('/openai/v1beta', '/v2')
        .replace('backendRefs:', 'timeouts: {request: 1h}\n    backendRefs:')
        .replace('    - {name: anthropic}\n', '')
        .replace(/---\n[^-]*name: anthropic,[\s\S]*?(?=---)/, '');
    const changed = install(planOf(edit), directory);
    assert.ok(changed.length >= 4 && !changed.includes('listeners.json'), changed.join(', '));
    const fresh = { 'x-steer': 'default/chat/small/openai', 'x-another': 'seen' };
    await until('the edit is in force', async () => {
      const { status, body } = await ask('/v1/x', fresh);
      const seen = status === 200 ? JSON.parse(body) : undefined;
      return (
        seen?.url === '/v2/x' && seen.headers.authorization === 'Bearer new-key-of-openai' && forwarded.has('x-another')
      );
    });
    const removed = await ask('/v1/messages', { 'x-steer': 'default/chat/small/anthropic' });
    assert.equal(removed.status, 404);

    openStream?.answer('data: end\n\n');
    openStream?.end();
    await stream;
    assert.equal(pieces.join(''), 'data: begin\n\ndata: end\n\n');
    const stats = await admin(
      '/stats?filter=listener_manager.(listener_(modified|in_place_updated|removed)|lds.update_rejected)',
    );
    assert.deepEqual(stats.match(/: [1-9]/g), null, stats);
  });

  test('without a processor every request gets 503 in the format of its provider', async () => {
    await processor.close(0);
    const shapes = [
      ['/v1/chat/completions', '{"error":{"message":'],
      ['/v1/messages', '{"type":"error","error":{"type":"overloaded_error"'],
      ['/generate_stream', '{"error":"'],
    ] as const;
    for (const [path, begin] of shapes) {
      const { status, body, type } = await ask(path, { 'x-steer': 'default/chat/small/openai' });
      assert.deepEqual([status, type, body.slice(0, begin.length)], [503, 'application/json', begin]);
    }
  });
});

const forwarded = new Set<string>();

/**
 * Follows the request's `x-steer` header, which the policy names, so that Envoy forwards it to the
 * processor.
 */
function handler(exchange: Exchange): ExchangeHandler {
  return {
    requestHeaders(headers) {
      for (const [name] of headers) {
        forwarded.add(name);
      }
      const steer = new Map(headers).get('x-steer') ?? '';
      if (steer === 'refuse') {
        const body = Buffer.from('{"own":true}');
        exchange.immediateResponse({
          status: 429,
          headers: [['content-type', 'application/json']],
          body,
          details: 'own',
        });
        exchange.end();
      } else if (steer === 'stay') {
        exchange.requestHeaders({});
      } else {
        exchange.requestHeaders({ set: [['x-tallygate-route', idOf(steer)]], clearRouteCache: true });
      }
    },
    requestBody: (bytes, end) => exchange.requestBody(bytes, end),
    requestTrailers: () => exchange.requestTrailers(),
    responseHeaders: () => exchange.responseHeaders({}),
    responseBody: (bytes, end) => exchange.responseBody(bytes, end),
    responseTrailers: () => exchange.responseTrailers(),
    drained() {},
    closed() {},
  };
}

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

function send(outgoing: ReturnType<typeof request>, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject).on('response', (answer: IncomingMessage) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
      answer.on('error', reject).on('end', () => {
        resolve({ status: answer.statusCode, type: answer.headers['content-type'], body: text });
      });
    });
    outgoing.end(body);
  });
}

/** Returns ports that are free at the same time, so that they differ. */
function resources(plain: number, secure: number, provider: number, secureProvider: number): string {
  const backend = (name: string, schema: string, port: number, tls: string, more: string): string => `---
apiVersion: tallygate.dev/v1alpha1
kind: AIBackend
metadata: {name: ${name}, namespace: default}
spec:
  schema: ${schema}
  endpoint: {type: Hostname, hostname: {name: 127.0.0.1, port: ${port}}, tls: {${tls}}}
  ${more}
`;
  const plainly = 'mode: Disabled';
  const proved = 'mode: CustomCA, caCertificateRef: {kind: Secret, name: tls, key: tls.crt}, hostname: ';
  const key = (name: string): string => `credential: {type: APIKey, apiKey: {secretRef: {name: keys, key: ${name}}}}`;
  return `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai, namespace: default}
spec:
  gatewayClassName: tallygate
  listeners:
  - {name: plain, port: ${plain}, protocol: HTTP}
  - {name: secure, port: ${secure}, protocol: HTTPS, hostname: localhost, tls: {certificateRefs: [{name: tls}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: tls, namespace: default}
stringData: {tls.crt: "\${file:certificate}", tls.key: "\${file:key}"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: default}
stringData: {openai: key-of-openai, anthropic: key-of-anthropic}
${backend('openai', 'OpenAI', provider, plainly, `pathPrefix: /openai/v1beta\n  ${key('openai')}`)}
${backend('anthropic', 'Anthropic', provider, plainly, key('anthropic'))}
${backend('secure', 'OpenAI', secureProvider, `${proved}provider.test`, '')}
${backend('impostor', 'OpenAI', secureProvider, `${proved}other.test`, '')}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIGatewayRoute
metadata: {name: chat, namespace: default}
spec:
  parentRefs: [{name: ai}]
  rules:
  - name: small
    backendRefs:
    - {name: openai}
    - {name: anthropic}
    - {name: secure}
    - {name: impostor}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIQuotaPolicy
metadata: {name: teams, namespace: default}
spec:
  targetRefs: [{group: tallygate.dev, kind: AIGatewayRoute, name: chat}]
  quotas:
  - name: requests
    limit: {type: Requests, amount: 600}
    window: {type: Lifetime}
    key: [{type: Header, header: {name: x-steer}}, {type: Header, header: {name: x-other}}]
`;
}
