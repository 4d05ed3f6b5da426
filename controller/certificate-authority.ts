/** The controller's own authority: kept in a Secret beside it, its certificates in a ConfigMap wherever proxies run, and a server certificate that is renewed in time. */
import { randomBytes } from 'node:crypto';
import type { Log } from '../runtime/log.ts';
import { ApiError, type Client } from './api/client.ts';
import { type Informer, startInformer } from './api/informer.ts';
import type { KubeObject } from './api/object.ts';
import {
  type CaText,
  issueServerCertificate,
  renewCa,
  type ServerCertificate,
  serverCertificateIsDue,
} from './push/ca.ts';
import { secrets } from './resources.ts';

/** The name by which sidecars know the server, wherever they find it. */
export const SERVER_NAME = 'tallygate-controller';
const AUTHORITY_NAME = 'tallygate-ca';
const BUNDLE_KEY = 'ca.crt';
const ROUTES_KEY = 'routes';

export interface CertificateAuthority {
  /** Undefined: there is no authority yet. */
  certificate(): ServerCertificate | undefined;
  /** PEM. */
  bundle(): string | undefined;
  /** What makes the ids of routes unguessable: of the installation, kept beside the authority. Undefined: there is none yet. */
  routeSecret(): string | undefined;
  /** Makes the authority, or renews it in time; for the leader. */
  keep(signal: AbortSignal): Promise<void>;
  /** Issues a new server certificate where one is due; to be called now and then. */
  renew(): Promise<void>;
  close(): void;
}

export function openCertificateAuthority(
  client: Client,
  namespace: string,
  changed: () => void,
  log: Log,
): CertificateAuthority {
  let certificate: ServerCertificate | undefined;
  const informer: Informer<KubeObject> = startInformer({
    ...{ client, log, resource: secrets, namespace },
    fieldSelector: `metadata.name=${AUTHORITY_NAME}`,
    keep: (object) => object,
    changed: () =>
      void renew().then(changed, (error) => log.error({ error }, 'the server certificate could not be issued')),
  });
  const secret = () => informer.items.get(`${namespace}/${AUTHORITY_NAME}`);
  const authority = () => authorityIn(secret());
  const renew = async () => {
    const kept = authority();
    if (kept === undefined) {
      return;
    }
    const nowMs = Date.now();
    if (certificate !== undefined && !serverCertificateIsDue(certificate, kept, nowMs)) {
      return;
    }
    const names = [SERVER_NAME, `${SERVER_NAME}.${namespace}.svc`, `${SERVER_NAME}.${namespace}`];
    certificate = await issueServerCertificate(kept, names, nowMs);
  };
  return {
    certificate: () => certificate,
    bundle: () => authority()?.certificates,
    routeSecret: () => routeSecretIn(secret()),
    renew,
    async keep(signal) {
      if (!informer.synced) {
        throw new Error('the Secret of the authority has not been read yet');
      }
      const before = secret();
      const kept = authorityIn(before);
      const next = await renewCa(kept, Date.now());
      const routes = routeSecretIn(before) ?? randomBytes(32).toString('base64url');
      const same = kept !== undefined && next.certificates === kept.certificates && next.keys === kept.keys;
      if (same && routes === routeSecretIn(before)) {
        return;
      }
      const object: KubeObject = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { ...(before?.metadata ?? { namespace, name: AUTHORITY_NAME }), managedFields: [] },
        type: 'Opaque',
        data: { certificates: encoded(next.certificates), keys: encoded(next.keys), [ROUTES_KEY]: encoded(routes) },
      };
      try {
        await (before === undefined
          ? client.create(secrets, object, { signal })
          : client.replace(secrets, object, { signal }));
        log.info({ namespace, secret: AUTHORITY_NAME }, 'the authority was written');
      } catch (error) {
        // Another replica was first: what it wrote comes by the watch.
        if (!(error instanceof ApiError && error.code === 409)) {
          throw error;
        }
      }
    },
    close: informer.close,
  };
}

/** Where sidecars of a namespace find what they trust. */
export function caBundleConfigMap(namespace: string, bundle: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace, name: AUTHORITY_NAME, labels: { 'app.kubernetes.io/managed-by': 'tallygate' } },
    data: { [BUNDLE_KEY]: bundle },
  };
}

function authorityIn(secret: KubeObject | undefined): CaText | undefined {
  const data = secret?.['data'] as { readonly certificates?: string; readonly keys?: string } | undefined;
  if (!data?.certificates || !data.keys) {
    return undefined;
  }
  return { certificates: decoded(data.certificates), keys: decoded(data.keys) };
}

function routeSecretIn(secret: KubeObject | undefined): string | undefined {
  const { [ROUTES_KEY]: text } = (secret?.['data'] ?? {}) as Readonly<Record<string, string | undefined>>;
  return text ? decoded(text) : undefined;
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
