/**
 * Labels the pod of the leader, so that a Service can select it. Only the leader writes: it removes
 * the label of the leader before, which may be alive.
 */
import type { KubeClient } from './api/client.ts';
import type { KubeObject } from './api/object.ts';
import { resourcePath } from './api/resource.ts';
import { pods } from './resources.ts';

const LABEL = 'tallygate.dev/leader';

/** Rejects if the API server cannot be reached or refuses. */
export async function labelLeader(
  client: KubeClient,
  { namespace, podName }: { readonly namespace: string; readonly podName: string },
  signal: AbortSignal,
): Promise<void> {
  const path = `${resourcePath(pods, namespace)}?labelSelector=${encodeURIComponent(LABEL)}`;
  const { items = [] } = (await client.call(path, { signal })) as { readonly items?: readonly KubeObject[] };
  const before = items.map(({ metadata }) => metadata.name).filter((name) => name !== podName);
  await setLabels(client, namespace, podName, { [LABEL]: 'true' }, signal);
  await Promise.all(before.map((name) => setLabels(client, namespace, name, {}, signal)));
}

async function setLabels(
  client: KubeClient,
  namespace: string,
  name: string,
  labels: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  await client.apply(pods, { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels } }, { signal });
}
