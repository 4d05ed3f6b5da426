/** Secrets with a label in one namespace, for commands that a person runs with a kubeconfig. */
import { ApiError, KubeClient } from './api/client.ts';
import { type KubeconfigOptions, kubeconfigCredentials } from './api/credentials.ts';
import type { KubeObject } from './api/object.ts';
import { type Resource, resourcePath } from './api/resource.ts';

const secrets: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets' };
/** Not the controller's manager, which marks objects that the controller may replace or remove. */
const FIELD_MANAGER = 'tallygate-cli';
const PAGE_SIZE = 500;

export interface LabelledSecrets {
  readonly server: URL;
  readonly namespace: string;
  list(): Promise<readonly KubeObject[]>;
  /** Returns false if an object of this name exists. */
  create(secret: KubeObject): Promise<boolean>;
  /** Returns false if there is no Secret of this name with the label. */
  remove(name: string): Promise<boolean>;
  close(): void;
}

/**
 * Throws if there is no kubeconfig. Operations reject with an `ApiError`. The namespace defaults to
 * that of the kubeconfig's context.
 */
export async function openLabelledSecrets(
  label: string,
  options: KubeconfigOptions & { readonly namespace?: string | undefined },
): Promise<LabelledSecrets> {
  const { namespace: contextNamespace, ...credentials } = await kubeconfigCredentials(options);
  const client = new KubeClient(credentials);
  const namespace = options.namespace ?? contextNamespace;
  return {
    server: credentials.server,
    namespace,
    list: async () => {
      const items: KubeObject[] = [];
      let next = '';
      do {
        const query = new URLSearchParams({ labelSelector: `${label}=true`, limit: String(PAGE_SIZE), continue: next });
        const page = (await client.call(`${resourcePath(secrets, namespace)}?${query}`)) as {
          readonly items: readonly KubeObject[];
          readonly metadata: { readonly continue?: string };
        };
        // Items of a list have no kind of their own.
        items.push(...page.items.map((item) => ({ ...item, kind: secrets.kind })));
        next = page.metadata.continue ?? '';
      } while (next !== '');
      return items;
    },
    create: async (secret) => {
      try {
        const path = `${resourcePath(secrets, namespace)}?fieldManager=${FIELD_MANAGER}`;
        await client.call(path, { method: 'POST', body: secret });
        return true;
      } catch (error) {
        if (error instanceof ApiError && error.reason === 'AlreadyExists') {
          return false;
        }
        throw error;
      }
    },
    remove: async (name) => {
      const found = await client.get(secrets, namespace, name);
      return found?.metadata.labels?.[label] === 'true' && (await client.remove(secrets, found));
    },
    close: () => client.close(),
  };
}
