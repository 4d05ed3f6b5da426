/**
 * A gateway that accepts API keys, tokens and client certificates, and a listener with TLS that
 * requires a certificate.
 */

import { type Authority, newAuthority } from '../../../fixtures/certificates.ts';
import { freePorts } from '../../../fixtures/free-ports.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { type OidcProvider, startOidcProvider } from './oidc-provider.ts';
import { type Provider, startProvider } from './provider.ts';
import { type Document, quotaPolicy, route } from './resources.ts';
import { backends, MODEL, rules } from './world.ts';

/** Of tenant `search`, which may use all models. */
export const KEY = 'tg-search-batch-0000000000000000';
/** Of tenant `ads`, which may use only `MODEL`. */
export const LIMITED_KEY = 'tg-ads-web-00000000000000000000';
/** Each user's budget. */
export const BUDGET_TOKENS = 5_000;

export interface AccessWorld {
  readonly provider: Provider;
  readonly issuer: OidcProvider;
  readonly gateway: Gateway;
  /** The address of the listener that requires a certificate of the authority. */
  readonly tlsUrl: string;
  readonly authority: Authority;
  stop(): Promise<void>;
}

export async function startAccessWorld(): Promise<AccessWorld> {
  const [[tlsPort = 0], authority, provider, issuer] = await Promise.all([
    freePorts(1),
    newAuthority('Clients'),
    startProvider(),
    startOidcProvider(),
  ]);
  const stop = () => Promise.all([provider.stop(), issuer.stop()]);
  try {
    const gateway = await startGateway([
      ...(await tlsGateway(tlsPort, authority)),
      ...backends(provider.port),
      route('chat', rules, { parentRefs: [{ name: 'ai' }, { name: 'tls' }] }),
      keySecret('key-search', KEY, { tenant: 'search', user: 'batch' }),
      keySecret('key-ads', LIMITED_KEY, { tenant: 'ads', user: 'web' }),
      accessPolicy(issuer.issuer),
      perUser,
    ]);
    return {
      provider,
      issuer,
      gateway,
      tlsUrl: `https://localhost:${tlsPort}`,
      authority,
      stop: async () => {
        await stop();
        await gateway.stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function tlsGateway(port: number, authority: Authority): Promise<readonly Document[]> {
  const server = await authority.issue({ subject: 'CN=gateway', dnsNames: ['localhost'] });
  const validation = { caCertificateRefs: [{ kind: 'ConfigMap', name: 'clients' }], mode: 'AllowValidOnly' };
  return [
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'tls', namespace: 'default' },
      spec: {
        gatewayClassName: 'tallygate',
        tls: { frontend: { default: { validation } } },
        listeners: [{ name: 'https', port, protocol: 'HTTPS', tls: { certificateRefs: [{ name: 'gateway' }] } }],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'clients', namespace: 'default' },
      data: { 'ca.crt': authority.cert },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'gateway', namespace: 'default' },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': server.cert, 'tls.key': server.key },
    },
  ];
}

function keySecret(name: string, apiKey: string, { tenant, user }: Readonly<Record<'tenant' | 'user', string>>) {
  const annotations = { 'tallygate.dev/tenant': tenant, 'tallygate.dev/user': user };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default', labels: { 'tallygate.dev/api-key': 'true' }, annotations },
    stringData: { apiKey },
  };
}

function accessPolicy(issuer: string): Document {
  const secretSelector = { matchLabels: { 'tallygate.dev/api-key': 'true' } };
  const pattern = 'spiffe://example.org/ns/{value}/*';
  return {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal', namespace: 'default' },
    spec: {
      targetRefs: ['ai', 'tls'].map((name) => ({ group: 'gateway.networking.k8s.io', kind: 'Gateway', name })),
      authenticate: [
        { name: 'keys', type: 'APIKey', apiKey: { secretSelector } },
        {
          name: 'sso',
          type: 'JWT',
          jwt: {
            issuer,
            audiences: ['ai-gateway'],
            identity: { tenant: { claim: 'team' }, user: { claim: 'email' } },
          },
        },
        {
          name: 'mesh',
          type: 'ClientCertificate',
          clientCertificate: { identity: { tenant: { from: 'URISAN', pattern }, user: { from: 'Subject' } } },
        },
      ],
      allow: [
        { name: 'search', principals: [{ tenant: 'search' }] },
        { name: 'everyone', principals: [{ authenticated: true }], models: [MODEL] },
      ],
    },
  };
}

const perUser = quotaPolicy('per-user', 'chat', [
  {
    name: 'tokens',
    limit: { type: 'TotalTokens', amount: BUDGET_TOKENS },
    window: { type: 'Lifetime' },
    key: [{ type: 'User' }],
  },
]);
