/** Reviews service account tokens of pods at the API server. */
import type { KubeClient } from './client.ts';

export interface PodIdentity {
  readonly podName: string;
  readonly podUid: string;
  readonly namespace: string;
}

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly audiences?: readonly string[];
    readonly user?: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
  };
}

/**
 * Returns the pod of the token; undefined if the token is invalid, for another audience, or not of
 * a pod.
 */
export async function reviewToken(
  client: KubeClient,
  token: string,
  audience: string,
): Promise<PodIdentity | undefined> {
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences: [audience] },
  };
  const path = '/apis/authentication.k8s.io/v1/tokenreviews';
  const { status } = (await client.call(path, { method: 'POST', body })) as TokenReview;
  if (!status?.authenticated || !status.audiences?.includes(audience)) {
    return undefined;
  }
  const { extra = {}, username = '' } = status.user ?? {};
  const [podName] = extra['authentication.kubernetes.io/pod-name'] ?? [];
  const [podUid] = extra['authentication.kubernetes.io/pod-uid'] ?? [];
  const namespace = /^system:serviceaccount:([^:]+):/.exec(username)?.[1];
  if (podName === undefined || podUid === undefined || namespace === undefined) {
    return undefined;
  }
  return { podName, podUid, namespace };
}
