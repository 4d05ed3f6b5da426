/** Runs the simulated provider in a pod. */
import type { Behaviour } from '../../data-plane/support/behaviour.ts';
import { noteProviderRequests } from '../../data-plane/support/leaks/requests.ts';
import type { Seen } from '../../data-plane/support/seen.ts';
import { startProgram } from './program.ts';

export interface ClusterProvider {
  readonly name: string;
  /** `NAME.NAMESPACE.svc`, the host name for AIBackends. */
  readonly host: string;
  readonly port: 8080;
  seen(): Promise<readonly Seen[]>;
  /** Returns the number of requests whose response is neither complete nor aborted. */
  openCount(): Promise<number>;
  setDefaults(behaviour: Behaviour): Promise<void>;
  /** Returns the requests that it forgets. */
  forget(): Promise<readonly Seen[]>;
  /** Closes the connection only; the pod ends with its namespace. */
  close(): void;
}

export async function startClusterProvider(namespace: string, name = 'provider'): Promise<ClusterProvider> {
  const control = await startProgram(namespace, name, 'e2e/cluster/support/provider-main.ts');
  const ask = async (method: string, body?: object) => {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(control.url, { method, signal, ...(body && { body: JSON.stringify(body) }) });
    const answer = (await response.json()) as { readonly seen: readonly Seen[]; readonly open: number };
    noteProviderRequests(answer.seen);
    return answer;
  };
  return {
    name,
    host: `${name}.${namespace}.svc`,
    port: 8080,
    seen: async () => (await ask('GET')).seen,
    openCount: async () => (await ask('GET')).open,
    setDefaults: async (behaviour) => {
      await ask('PUT', behaviour);
    },
    forget: async () => (await ask('DELETE')).seen,
    close: control.close,
  };
}
