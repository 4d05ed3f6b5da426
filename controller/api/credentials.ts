/** Finds the API server and the credentials for it: a pod's service account, or a kubeconfig. */
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';

export interface Credentials {
  readonly server: URL;
  /** Adds CA certificates, client certificate and authorization to a request. */
  apply(options: RequestOptions): Promise<void>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The server of `loadFromDefault` without a kubeconfig. */
const FALLBACK_SERVER = 'http://localhost:8080';
/** The kubelet renews a token long before it expires. */
const TOKEN_CACHE_MS = 60_000;

/** Throws if there is neither. */
export async function findCredentials(environment: Readonly<Record<string, string | undefined>>): Promise<Credentials> {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (environment['KUBECONFIG'] === undefined && host !== undefined && existsSync(`${SERVICE_ACCOUNT}/token`)) {
    return serviceAccount(host, environment['KUBERNETES_SERVICE_PORT'] ?? '443');
  }
  return kubeconfigCredentials();
}

export interface KubeconfigOptions {
  /** Default: those of KUBECONFIG, otherwise `~/.kube/config`. */
  readonly file?: string | undefined;
  /** Default: the current context. */
  readonly context?: string | undefined;
}

/** Throws if there is no kubeconfig, or if it has no such context. */
export async function kubeconfigCredentials(
  options: KubeconfigOptions = {},
): Promise<Credentials & { readonly namespace: string; readonly config: KubeConfig }> {
  // Loaded only for a kubeconfig, because the package takes 90 MB of memory.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (options.file === undefined) {
    config.loadFromDefault();
  } else {
    config.loadFromFile(options.file);
  }
  if (options.context !== undefined) {
    config.setCurrentContext(options.context);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null || (cluster.name === 'cluster' && cluster.server === FALLBACK_SERVER)) {
    throw new Error('no cluster found: there is neither a service account nor a kubeconfig; set KUBECONFIG');
  }
  return {
    server: new URL(cluster.server),
    config,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
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
