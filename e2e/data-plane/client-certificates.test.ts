/** Callers with client certificates, at listeners that require one and that do not. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Authority, type Certificate, newAuthority } from '../../fixtures/certificates.ts';
import { freePorts } from '../../fixtures/free-ports.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, gateway as gatewayDocuments, route, yamlOf } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { MODEL, rules } from './support/world.ts';

const API_KEY = 'tg-of-search-0000000000000000';
const BODY = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 });

interface Ports {
  readonly required: number;
  readonly optional: number;
}

interface Trust {
  /** PEM. */
  readonly authority: string;
  readonly revocationList?: string;
}

function resources(
  ports: Ports,
  provider: number,
  server: Certificate,
  { authority, revocationList }: Trust,
): readonly Document[] {
  const metadata = (name: string) => ({ name, namespace: 'default' });
  const validation = { caCertificateRefs: [{ kind: 'ConfigMap', name: 'clients' }] };
  const listener = (name: string, port: number) => ({
    name,
    port,
    protocol: 'HTTPS',
    tls: { certificateRefs: [{ name: 'server' }] },
  });
  const [, providerKey] = gatewayDocuments(0);
  return [
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: metadata('ai'),
      spec: {
        gatewayClassName: 'tallygate',
        tls: {
          frontend: {
            default: { validation },
            perPort: [{ port: ports.optional, tls: { validation: { ...validation, mode: 'AllowInsecureFallback' } } }],
          },
        },
        listeners: [listener('required', ports.required), listener('optional', ports.optional)],
      },
    },
    providerKey ?? {},
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: metadata('clients'),
      data: { 'ca.crt': authority, ...(revocationList !== undefined && { 'ca.crl': revocationList }) },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: metadata('server'),
      stringData: { 'tls.crt': server.cert, 'tls.key': server.key },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        ...metadata('key'),
        labels: { 'tallygate.dev/api-key': 'true' },
        annotations: { 'tallygate.dev/tenant': 'search', 'tallygate.dev/user': 'key' },
      },
      stringData: { apiKey: API_KEY },
    },
    {
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIAccessPolicy',
      metadata: metadata('mesh'),
      spec: {
        targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
        authenticate: [
          {
            name: 'certificates',
            type: 'ClientCertificate',
            clientCertificate: {
              identity: {
                tenant: { from: 'URISAN', pattern: 'spiffe://example.org/ns/{value}/*' },
                user: { from: 'Subject' },
              },
            },
          },
          {
            name: 'keys',
            type: 'APIKey',
            apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
          },
        ],
        allow: [{ name: 'search', principals: [{ tenant: 'search' }] }],
      },
    },
    backend('openai', { port: provider }),
    route('chat', rules.slice(0, 1)),
  ];
}

describe('client certificates', () => {
  let provider: Provider;
  let gateway: Gateway;
  let authority: Authority;
  let ports: Ports;
  let server: Certificate;
  /** TLS sessions that a later connection can resume. */
  const sessions: Buffer[] = [];

  before(async () => {
    const [required = 0, optional = 0] = await freePorts(2);
    ports = { required, optional };
    authority = await newAuthority('clients');
    server = await authority.issue({ subject: 'CN=localhost', dnsNames: ['localhost'] });
    provider = await startProvider();
    gateway = await startGateway([], { yaml: yamlOf(documents()) });
  });
  after(async () => {
    await provider?.stop();
    await gateway?.stop();
  });

  const documents = (revocationList?: string) =>
    resources(ports, provider.port, server, {
      authority: authority.cert,
      ...(revocationList !== undefined && { revocationList }),
    });

  const edit = (list: readonly Document[]) => writeFileSync(path.join(gateway.folder, 'resources.yaml'), yamlOf(list));

  const workload = (namespace: string) => ({
    subject: `CN=${namespace}-batch`,
    uris: [`spiffe://example.org/ns/${namespace}/sa/batch`],
  });

  /** Returns the status; rejects if the TLS connection fails. */
  const ask = (
    port: number,
    certificate?: Certificate & { readonly session?: Buffer },
    headers: Readonly<Record<string, string>> = {},
  ) =>
    new Promise<number | undefined>((resolve, reject) => {
      const request = https.request({
        host: '127.0.0.1',
        port,
        servername: 'localhost',
        ca: authority.cert,
        ...certificate,
        method: 'POST',
        path: '/v1/chat/completions',
        headers: { 'content-type': 'application/json', ...headers },
        agent: false,
      });
      request.on('socket', (socket) => socket.on('session', (session: Buffer) => sessions.push(session)));
      request.on('error', reject).on('response', (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      request.end(BODY);
    });

  it('name tenant and user by the attributes that the policy names', async () => {
    const certificate = await authority.issue(workload('search'));
    for (const port of [ports.required, ports.optional]) {
      const { result, record } = await gateway.recordOf(() => ask(port, certificate));
      assert.equal(result, 200);
      const { tenant, user } = JSON.parse(record.line).caller;
      assert.deepEqual([tenant, user], ['search', 'CN=search-batch']);
    }
  });

  it('admit nobody of another tenant, or of another trust domain', async () => {
    const others = [workload('ads'), { subject: 'CN=x', uris: ['spiffe://example.com/ns/search/sa/batch'] }];
    for (const options of [...others, { subject: 'CN=search', dnsNames: ['search'] }]) {
      assert.equal(await ask(ports.optional, await authority.issue(options)), 403);
    }
  });

  it('of another authority and expired ones end in the handshake, even where none is required', async () => {
    const stranger = await newAuthority('clients');
    const refused = [
      await stranger.issue(workload('search')),
      await authority.issue({ ...workload('search'), expired: true }),
    ];
    for (const certificate of refused) {
      for (const port of [ports.required, ports.optional]) {
        await assert.rejects(ask(port, certificate));
      }
    }
  });

  it('are required at one listener, and one of several credentials at the other', async () => {
    const key = { authorization: `Bearer ${API_KEY}` };
    await assert.rejects(ask(ports.required, undefined, key));
    assert.equal(await ask(ports.optional, undefined, key), 200);
    assert.equal(await ask(ports.optional), 401);
  });

  it('are refused while a list revokes them, without a restart', async () => {
    const [revoked, other] = [await authority.issue(workload('search')), await authority.issue(workload('search'))];
    const isRefused = (certificate: Certificate) =>
      Promise.any([ports.required, ports.optional].map((port) => ask(port, certificate))).then(
        () => false,
        () => true,
      );
    assert.equal(await ask(ports.required, revoked), 200);
    const session = sessions.at(-1);
    assert.ok(session);
    assert.equal(await ask(ports.required, { ...revoked, session }), 200);
    for (const [list, refused] of [
      [[revoked], true],
      [[], false],
    ] as const) {
      edit(documents(await authority.revoke(list)));
      await waitFor('the list in Envoy', async () => (await isRefused(revoked)) === refused, 10_000);
      assert.equal(await ask(ports.required, other), 200);
      if (refused) {
        await assert.rejects(ask(ports.required, { ...revoked, session }));
      }
    }
    edit(documents());
  });

  it('are never taken from a header', async () => {
    const value = 'By=x;Hash=y;URI=spiffe://example.org/ns/search/sa/batch;Subject="CN=search-batch"';
    for (const name of ['x-forwarded-client-cert', 'connection.uri_san_peer_certificate', 'x-tallygate-tenant']) {
      assert.equal(await ask(ports.optional, undefined, { [name]: value }), 401);
    }
  });
});
