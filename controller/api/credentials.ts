/** Finds the API server and the credentials for it: a pod's service account, or a kubeconfig. */
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';

export interface Credentials {
  readonly server: URL;
  /** Adds CA certificates, client certificate and authorization to a request. */
  apply(options: RequestOptions): Promise<void>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The kubelet renews a token long before it expires. */
const TOKEN_CACHE_MS = 60_000;

/** Throws if there is neither. */
export async function findCredentials(environment: Readonly<Record<string, string | undefined>>): Promise<Credentials> {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (environment['KUBECONFIG'] === undefined && host !== undefined && existsSync(`${SERVICE_ACCOUNT}/token`)) {
    return serviceAccount(host, environment['KUBERNETES_SERVICE_PORT'] ?? '443');
  }
  // Loaded only for a kubeconfig, because the package takes 90 MB of memory.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromDefault();
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new Error('no cluster found: there is neither a service account nor a kubeconfig; set KUBECONFIG');
  }
  return {
    server: new URL(cluster.server),
    async apply(options) {
      await config.applyToHTTPSOptions(options);
      // The client has its own agent.
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
      if (performance.now() - readAtMs > TOKEN_CACHE_MS) {
        token = readFileSync(`${SERVICE_ACCOUNT}/token`, 'utf8').trim();
        readAtMs = performance.now();
      }
      options.ca = ca;
      options.headers = { ...options.headers, authorization: `Bearer ${token}` };
    },
  };
}
