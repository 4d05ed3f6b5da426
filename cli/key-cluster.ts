/** API keys in one namespace of a cluster. */

import { API_KEY_LABEL } from '../contract/api-key.ts';
import { ApiError } from '../controller/api/client.ts';
import { type LabelledSecrets, openLabelledSecrets } from '../controller/labelled-secrets.ts';
import { errorMessage } from '../runtime/error-message.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { ApiKeyStore } from './api-key-store.ts';
import { isKeySecret } from './key-secret.ts';

interface KeyClusterOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly namespace?: string | undefined;
}

export async function keyCluster({ kubeconfig, context, namespace }: KeyClusterOptions): Promise<ApiKeyStore> {
  const secrets = await open({ file: kubeconfig, context, namespace });
  const place = `cluster ${secrets.server.host}`;
  const asOperatorError = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      // Other errors come from the credentials, for example of an exec plugin.
      const fix = error instanceof ApiError ? fixOf(error) : 'correct the user in the kubeconfig';
      throw new OperatorError(`${place}: ${errorMessage(error)}; ${fix}`);
    }
  };
  return {
    place,
    namespace: secrets.namespace,
    list: async () => ((await asOperatorError(secrets.list())) as readonly unknown[]).filter(isKeySecret),
    create: async (secret) => {
      if (!(await asOperatorError(secrets.create({ ...secret })))) {
        const { name } = secret.metadata;
        throw new OperatorError(`Secret ${secrets.namespace}/${name} exists; choose another name by --name`);
      }
    },
    remove: (name) => asOperatorError(secrets.remove(name)),
    close: () => secrets.close(),
  };
}

async function open(options: Parameters<typeof openLabelledSecrets>[1]): Promise<LabelledSecrets> {
  try {
    return await openLabelledSecrets(API_KEY_LABEL, options);
  } catch (error) {
    throw new OperatorError(`${errorMessage(error)}; correct --kubeconfig or --context, or use --file`);
  }
}

function fixOf({ code }: ApiError): string {
  if (code === 401 || code === 403) {
    return 'ask for a Role with get, list, create and delete on Secrets of this namespace';
  }
  return code === 0 ? 'check the server of the kubeconfig' : 'correct the option that it names';
}
