/**
 * The controller's certificate authority (CA), kept in a Secret in its namespace. Its certificates
 * are published in a ConfigMap in each namespace where proxies run. Issues and renews the server
 * certificate.
 */
import { randomBytes } from 'node:crypto';
import type { Log } from '../runtime/log.ts';
import { ApiError, type KubeClient } from './api/client.ts';
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

/** The server name that sidecars verify, independent of the address. */
export const SERVER_NAME = 'tallygate-controller';
const CA_NAME = 'tallygate-ca';
const BUNDLE_KEY = 'ca.crt';
const ROUTE_SECRET_KEY = 'routes';

export interface CertificateAuthority {
  /** Undefined until there is a CA. */
  certificate(): ServerCertificate | undefined;
  /** The certificates in PEM; undefined until there is a CA. */
  bundle(): string | undefined;
  /**
   * The secret of the installation that makes route ids unguessable; undefined until there is one.
   */
  routeSecret(): string | undefined;
  /**
   * Creates the CA and the route secret, or renews the CA when that is due. Only the leader calls
   * this.
   */
  keep(signal: AbortSignal): Promise<void>;
  /** Issues a new server certificate if one is due. Call periodically. */
  renew(): Promise<void>;
  close(): void;
}

export function openCertificateAuthority(
  client: KubeClient,
  namespace: string,
  changed: () => void,
  log: Log,
): CertificateAuthority {
  let certificate: ServerCertificate | undefined;
  const informer: Informer<KubeObject> = startInformer({
    client,
    resource: secrets,
    namespace,
    log,
    fieldSelector: `metadata.name=${CA_NAME}`,
    keep: (object) => object,
    changed: () => void renew().then(changed, (error) => log.error({ err: error }, 'server certificate not issued')),
  });
  const secret = () => informer.items.get(`${namespace}/${CA_NAME}`);
  const current = () => caTextIn(secret());
  const renew = async () => {
    const kept = current();
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
    bundle: () => current()?.certificates,
    routeSecret: () => routeSecretIn(secret()),
    renew,
    async keep(signal) {
      if (!informer.synced) {
        throw new Error(`Secret ${namespace}/${CA_NAME} has not been read yet`);
      }
      const before = secret();
      const kept = caTextIn(before);
      const next = await renewCa(kept, Date.now());
      const routes = routeSecretIn(before) ?? randomBytes(32).toString('base64url');
      const same = kept !== undefined && next.certificates === kept.certificates && next.keys === kept.keys;
      if (same && routes === routeSecretIn(before)) {
        return;
      }
      const object: KubeObject = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { ...(before?.metadata ?? { namespace, name: CA_NAME }), managedFields: [] },
        type: 'Opaque',
        data: {
          certificates: encoded(next.certificates),
          keys: encoded(next.keys),
          [ROUTE_SECRET_KEY]: encoded(routes),
        },
      };
      try {
        await (before === undefined
          ? client.create(secrets, object, { signal })
          : client.replace(secrets, object, { signal }));
        log.info({ namespace, secret: CA_NAME }, 'wrote CA secret');
      } catch (error) {
        // Another replica was faster; its CA arrives by the watch.
        if (!(error instanceof ApiError && error.code === 409)) {
          throw error;
        }
      }
    },
    close: informer.close,
  };
}

/** Returns the ConfigMap with the CA bundle for the sidecars of a namespace. */
export function caBundleConfigMap(namespace: string, bundle: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace, name: CA_NAME, labels: { 'app.kubernetes.io/managed-by': 'tallygate' } },
    data: { [BUNDLE_KEY]: bundle },
  };
}

function caTextIn(secret: KubeObject | undefined): CaText | undefined {
  const data = secret?.['data'] as { readonly certificates?: string; readonly keys?: string } | undefined;
  if (!data?.certificates || !data.keys) {
    return undefined;
  }
  return { certificates: decoded(data.certificates), keys: decoded(data.keys) };
}

function routeSecretIn(secret: KubeObject | undefined): string | undefined {
  const { [ROUTE_SECRET_KEY]: text } = (secret?.['data'] ?? {}) as Readonly<Record<string, string | undefined>>;
  return text ? decoded(text) : undefined;
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
