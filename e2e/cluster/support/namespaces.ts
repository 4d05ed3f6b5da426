/** The namespaces of a test. */
import { noteRequests } from '../../data-plane/support/leaks/requests.ts';
import type { Document } from '../../data-plane/support/resources.ts';
import { kubectl } from './kubectl.ts';
import { readOutputs } from './outputs.ts';

noteRequests();

export function namespaceOf(name: string, labels: Readonly<Record<string, string>> = {}): Document {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

/** Deletes namespaces and waits until their objects are deleted. What they wrote is read before. */
export async function removeNamespaces(...names: readonly string[]): Promise<void> {
  await readOutputs(names);
  await kubectl('delete', 'namespace', '--ignore-not-found', '--timeout=100s', ...names);
}
