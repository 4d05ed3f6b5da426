/** Shared by tests of the policy push: both sides, over TLS on this machine. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { RestReport } from '../../contract/backend-rest.ts';
import type { BudgetReport } from '../../contract/budget-report.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import { issueServerCertificate, renewCa } from '../../controller/push/ca.ts';
import { type PushServer, startPushServer } from '../../controller/push/server.ts';
import { type FollowedController, type FollowOptions, followController } from '../../extproc/sidecar/follow.ts';
import type { PolicyIntakeOptions } from '../../extproc/sidecar/policy-intake.ts';
import { createLog } from '../../runtime/log.ts';

const log = createLog({ level: 'silent' });
export const names = ['tallygate-controller'];
const root = mkdtempSync(join(tmpdir(), 'push-'));
export const closing: (() => unknown)[] = [];
after(async () => {
  await Promise.all(closing.map((close) => close()));
  rmSync(root, { recursive: true });
});

export const DAY_MS = 86_400_000;
export const ca = await renewCa(undefined, Date.now());
export const certificate = await issueServerCertificate(ca, names, Date.now());

/** The folder of one pod's files. */
export function newPod(bundle = ca.certificates, token = 'a.good.token'): string {
  const folder = mkdtempSync(join(root, 'pod-'));
  writeFileSync(join(folder, 'ca.crt'), bundle);
  writeFileSync(join(folder, 'token'), `${token}\n`);
  return folder;
}

export interface Sidecar extends FollowedController {
  readonly applied: string[];
  /** What was put into force, policies as their version, in order. */
  readonly used: (string | SharedStoreConfig | undefined)[];
  /** The secrets of guardrails that were put into force, and the policy before, in order. */
  readonly secrets: { readonly values: Readonly<Record<string, string>>; readonly after: string | undefined }[];
}

export function follow(
  port: number,
  folder: string,
  apply: (policy: GatewayPolicy) => void = () => {},
  waitFor: PolicyIntakeOptions['waitFor'] = async () => {},
  fullestBudgets: () => readonly BudgetReport[] = () => [],
  resting: () => readonly RestReport[] = () => [],
  answerConsole: FollowOptions['answerConsole'] = () => Promise.reject(new Error('no console')),
): Sidecar {
  const applied: string[] = [];
  const used: Sidecar['used'] = [];
  const secrets: Sidecar['secrets'] = [];
  const followed = followController({
    controller: `127.0.0.1:${port}`,
    tokenPath: join(folder, 'token'),
    caPath: join(folder, 'ca.crt'),
    programVersion: '0.1.0',
    contentDestinations: ['S3'],
    fullestBudgets,
    resting,
    answerConsole,
    folder,
    storeFolder: folder,
    useSharedStore: (config) => used.push(config),
    useDetectorSecrets: (values) => secrets.push({ values, after: applied.at(-1) }),
    apply(policy) {
      apply(policy);
      applied.push(policy.version);
      used.push(policy.version);
    },
    waitFor,
    log,
  });
  closing.push(() => followed.close());
  return Object.assign(followed, { applied, used, secrets });
}

export async function serve(
  options: Partial<Parameters<typeof startPushServer>[0]> & { readonly port?: number } = {},
): Promise<PushServer> {
  const server = await startPushServer({
    address: { host: '127.0.0.1', port: options.port ?? 0 },
    credentials: () => certificate,
    review: async (token) =>
      token === 'a.good.token' ? { podName: 'pod', podUid: 'uid', namespace: 'default' } : undefined,
    fleetOf: () => 'fleet',
    mayShareStore: () => true,
    mayHaveSecrets: () => true,
    log,
    ...options,
  });
  closing.push(() => server.close());
  return server;
}

const policy = (version: string, more: object = {}) =>
  ({
    formatVersion: 6,
    version,
    virtualHosts: [],
    backends: [],
    quotas: [],
    accessPolicies: [],
    apiKeyShards: [],
    ...more,
  }) as GatewayPolicy;
export const fleet = (version: string, more?: object) => new Map([['fleet', policy(version, more)]]);

export async function until(holds: () => boolean, what: string, timeoutMs = 8000): Promise<void> {
  const start = Date.now();
  while (!holds()) {
    assert.ok(Date.now() - start < timeoutMs, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const acknowledged = (server: PushServer) => server.sidecars()[0]?.acknowledged;
export const has = (server: PushServer, epoch: number, counter: number, version: string) => () => {
  const got = acknowledged(server);
  return got?.epoch === epoch && got.counter === counter && got.version === version;
};
