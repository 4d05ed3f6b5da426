/** Services of guardrails over TLS: their certificate, and that of the gateway. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, test } from 'node:test';
import type { DetectorService } from '../../../contract/guardrails.ts';
import { type Authority, type Certificate, newAuthority } from '../../../fixtures/certificates.ts';
import type { AnalyzeContext } from './external-detector.ts';
import { ExternalDetectors } from './external-detectors.ts';

const context: AnalyzeContext = { phase: 'request', scope: 'user', model: 'm', route: 'default/chat', final: true };
const clientCertificate = { chain: 'app/own/tls.crt', privateKey: 'app/own/tls.key' };

let authority: Authority;
let stranger: Authority;
let certificate: Certificate;
const servers: Server[] = [];

before(async () => {
  [authority, stranger] = await Promise.all([newAuthority('services'), newAuthority('stranger')]);
  certificate = await authority.issue({ subject: 'CN=guard', dnsNames: ['localhost'] });
});
after(() => {
  for (const server of servers) {
    server.close().closeAllConnections();
  }
});

/** Returns the URL of a service that allows everything, and the open connections to it. */
async function start(options: ServerOptions, own = certificate) {
  const sockets = new Set<Socket>();
  const server = createServer({ ...own, ...options }, (request, response) => {
    request.resume().on('end', () => response.end('{"action": "allow"}'));
  });
  server.on('secureConnection', (socket: Socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
  servers.push(server);
  await once(server.listen(0, 'localhost'), 'listening');
  return { url: `https://localhost:${(server.address() as AddressInfo).port}/`, sockets };
}

function detectorsWith(own?: Certificate): ExternalDetectors {
  const secrets = new Map([
    [clientCertificate.chain, own?.cert],
    [clientCertificate.privateKey, own?.key],
  ]);
  return new ExternalDetectors({ secret: (id) => secrets.get(id), now: Date.now });
}

/** Returns the action, or the reason of the failure. */
async function ask(service: DetectorService, own?: Certificate): Promise<string> {
  const detectors = detectorsWith(own);
  try {
    const { signal } = new AbortController();
    return (await detectors.analyze({ type: 'Webhook', service }, 'hello', context, 5_000, signal)).action;
  } catch (error) {
    return (error as { failure: string }).failure;
  } finally {
    detectors.close();
  }
}

test('a service with a certificate of a private authority is asked only if the policy names that', async () => {
  const { url } = await start({});
  assert.equal(await ask({ url, certificateAuthorities: authority.cert }), 'allow');
  assert.equal(await ask({ url, certificateAuthorities: stranger.cert }), 'unavailable');
  assert.equal(await ask({ url }), 'unavailable');
});

test('a service with a certificate for another name, or one that has expired, is not asked', async () => {
  for (const more of [{ dnsNames: ['guard.example.com'] }, { dnsNames: ['localhost'], expired: true }]) {
    const { url } = await start({}, await authority.issue({ subject: 'CN=guard', ...more }));
    assert.equal(await ask({ url, certificateAuthorities: authority.cert }), 'unavailable');
  }
});

test('the gateway presents its certificate to a service that requires one', async () => {
  const { url } = await start({ requestCert: true, rejectUnauthorized: true, ca: authority.cert });
  const service = { url, certificateAuthorities: authority.cert, clientCertificate };
  const [own, foreign] = await Promise.all(
    [authority, stranger].map((each) => each.issue({ subject: 'CN=tallygate', dnsNames: ['tallygate'] })),
  );
  assert.equal(await ask(service, own), 'allow');
  assert.equal(await ask(service, foreign), 'unavailable');
  assert.equal(await ask(service), 'unavailable', 'the certificate has not arrived');
  assert.equal(await ask({ url, certificateAuthorities: authority.cert }), 'unavailable');
});

test('connections to services end when the process ends', async () => {
  const { url, sockets } = await start({});
  const detectors = detectorsWith();
  const settings = { type: 'Webhook', service: { url, certificateAuthorities: authority.cert } } as const;
  await detectors.analyze(settings, 'hello', context, 5_000, new AbortController().signal);
  const [socket = assert.fail()] = sockets;
  detectors.close();
  await once(socket, 'close');
});
