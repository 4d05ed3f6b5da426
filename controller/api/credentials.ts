/** Where the API server is and how one proves who one is: a pod's service account, or what KUBECONFIG says. */
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';

export interface Credentials {
  readonly server: URL;
  /** Puts authorities, client certificate and authorization into a request. */
  apply(options: RequestOptions): Promise<void>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The kubelet renews a token long before its end. */
const TOKEN_KEPT_MS = 60_000;

/** Throws where there is neither. */
export async function findCredentials(environment: Readonly<Record<string, string | undefined>>): Promise<Credentials> {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (environment['KUBECONFIG'] === undefined && host !== undefined && existsSync(`${SERVICE_ACCOUNT}/token`)) {
    return serviceAccount(host, environment['KUBERNETES_SERVICE_PORT'] ?? '443');
  }
  // Only where there is a file to be read, with all that such files may say: it takes 90 MB.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromDefault();
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new Error('there is no cluster: neither a service account nor a kubeconfig was found');
  }
  return {
    server: new URL(cluster.server),
    async apply(options) {
      await config.applyToHTTPSOptions(options);
      // Connections are kept by an agent of our own.
      delete options.agent;
    },
  };
}

function serviceAccount(host: string, port: string): Credentials {
  const ca = readFileSync(`${SERVICE_ACCOUNT}/ca.crt`);
  let token = '';
  let readAtMs = Number.NEGATIVE_INFINITY;
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    async apply(options) {
      if (performance.now() - readAtMs > TOKEN_KEPT_MS) {
        token = readFileSync(`${SERVICE_ACCOUNT}/token`, 'utf8').trim();
        readAtMs = performance.now();
      }
      options.ca = ca;
      options.headers = { ...options.headers, authorization: `Bearer ${token}` };
    },
  };
}
