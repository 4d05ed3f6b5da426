/** A ServiceAccount with rights in one namespace, and its kubeconfig. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Document } from '../../data-plane/support/resources.ts';
import { apply, kubectl } from './kubectl.ts';

const RBAC = 'rbac.authorization.k8s.io';

export interface ServiceAccount {
  /** A file. */
  readonly kubeconfig: string;
  /** Replaces the rights. */
  allow(rules: readonly Document[]): Promise<void>;
  remove(): Promise<void>;
}

export async function newServiceAccount(namespace: string, name: string): Promise<ServiceAccount> {
  const metadata = { name, namespace };
  const subjects = [{ kind: 'ServiceAccount', ...metadata }];
  const roleRef = { apiGroup: RBAC, kind: 'Role', name };
  await apply([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', metadata, roleRef, subjects },
  ]);
  const token = (await kubectl('-n', namespace, 'create', 'token', name)).trim();
  const config = JSON.parse(await kubectl('config', 'view', '--raw', '--minify', '-o', 'json')) as Document & {
    readonly users: readonly { readonly name: string }[];
  };
  const folder = mkdtempSync(path.join(tmpdir(), 'tallygate-'));
  const kubeconfig = path.join(folder, 'kubeconfig');
  const users = config.users.map((user) => ({ name: user.name, user: { token } }));
  writeFileSync(kubeconfig, JSON.stringify({ ...config, users }), { mode: 0o600 });
  return {
    kubeconfig,
    allow: (rules) => apply([{ apiVersion: `${RBAC}/v1`, kind: 'Role', metadata, rules }]),
    remove: async () => {
      rmSync(folder, { recursive: true });
      await kubectl('-n', namespace, 'delete', 'rolebinding,role,serviceaccount', name);
    },
  };
}
