/**
 * A changed API key on its way to the sidecars: the controller's translation, the push over TLS,
 * and reading and compiling in each sidecar, all in this process.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { changesBetween } from '../contract/policy-changes.ts';
import { policyText } from '../contract/policy-text.ts';
import { issueServerCertificate, renewCa } from '../controller/push/ca.ts';
import { startPushServer } from '../controller/push/server.ts';
import { compiling } from '../extproc/policy/compile.ts';
import { inSlices } from '../extproc/policy/slices.ts';
import { followController } from '../extproc/sidecar/follow.ts';
import { createLog } from '../runtime/log.ts';
import { type AddToWorld, clusterWorld, readApiKeySecret, readObject } from '../translate/kubernetes/read.ts';
import { translateCluster } from '../translate/kubernetes/translate-cluster.ts';

const KEYS = 10_000;
const TENANTS = 1_000;
const SIDECARS = 20;

const log = createLog({ level: 'silent' });
const closing: (() => unknown)[] = [];
after(async () => {
  await Promise.all(closing.map((close) => close()));
});

const resources = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai, namespace: app, uid: gateway}
spec: {gatewayClassName: tallygate, listeners: [{name: http, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: Same}}}]}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIBackend
metadata: {name: openai, namespace: app, uid: backend}
spec:
  schema: OpenAI
  endpoint: {type: Hostname, hostname: {name: api.openai.com, port: 443}, tls: {mode: System}}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIGatewayRoute
metadata: {name: chat, namespace: app, uid: route}
spec:
  parentRefs: [{name: ai}]
  rules: [{name: all, models: ["*"], backendRefs: [{name: openai}]}]
---
apiVersion: tallygate.dev/v1alpha1
kind: AIAccessPolicy
metadata: {name: keys, namespace: app, uid: policy}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ai}]
  authenticate: [{name: keys, type: APIKey, apiKey: {secretSelector: {matchLabels: {}}}}]
  allow: [{name: all, principals: [{authenticated: true}]}]
`;
const objects = parseAllDocuments(resources).map((document) => readObject(document.toJS()));

/** The Secret of a key as the API server has it. */
function keySecret(index: number, generation = 0) {
  const digest = createHash('sha256').update(`key ${index} of generation ${generation}`).digest('hex');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      namespace: 'app',
      name: `key-${index}`,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { 'tallygate.dev/api-key': 'true' },
      annotations: {
        'tallygate.dev/tenant': `tenant-${index % TENANTS}`,
        'tallygate.dev/user': `user-${index}`,
        'tallygate.dev/groups': 'engineering,batch',
      },
    },
    data: { keyHash: Buffer.from(`sha256:${digest}`).toString('base64') },
  };
}

function policyOf(keys: readonly AddToWorld[]) {
  const facts = { namespaces: new Map([['app', {}]]), services: new Map(), patchPolicies: { verdicts: new Map() } };
  const world = clusterWorld([...objects, ...keys], facts);
  const options = {
    extprocSocket: '/run/tallygate/extproc.sock',
    identityNamespaces: [],
    reach: { clusterDomain: 'cluster.local', allowedDestinations: [] },
    sharesQuotas: false,
    routeSecret: 'of the test',
  };
  return translateCluster(world, options).policyFor(['app/ai']);
}

test(`one changed key of ${KEYS} takes the controller and ${SIDECARS} sidecars less than a second of CPU`, {
  timeout: 120_000,
}, async (t) => {
  const authority = await renewCa(undefined, Date.now());
  const certificate = await issueServerCertificate(authority, ['tallygate-controller'], Date.now());
  const server = await startPushServer({
    address: { host: '127.0.0.1', port: 0 },
    credentials: () => certificate,
    review: async (token) => ({ podName: token, podUid: token, namespace: 'default' }),
    fleetOf: () => 'fleet',
    mayShareStore: () => false,
    mayHaveSecrets: () => false,
    log,
  });
  closing.push(() => server.close());
  server.setLeader(1);
  for (let index = 0; index < SIDECARS; index++) {
    const folder = mkdtempSync(join(tmpdir(), 'push-keys-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'ca.crt'), authority.certificates);
    writeFileSync(join(folder, 'token'), `a.b.${index}`);
    const followed = followController({
      controller: `127.0.0.1:${server.port}`,
      tokenPath: join(folder, 'token'),
      caPath: join(folder, 'ca.crt'),
      programVersion: '0.1.0',
      contentDestinations: ['S3'],
      fullestBudgets: () => [],
      resting: () => [],
      answerConsole: () => Promise.reject(new Error('no console')),
      folder,
      storeFolder: undefined,
      useSharedStore() {},
      useDetectorSecrets() {},
      async apply(policy) {
        await inSlices(compiling(policy));
      },
      log,
    });
    closing.unshift(() => followed.close());
  }
  const arrived = async (version: string) => {
    const startedMs = performance.now();
    const has = () => server.sidecars().filter(({ acknowledged }) => acknowledged?.version === version).length;
    while (has() < SIDECARS) {
      assert.ok(performance.now() - startedMs < 30_000, `${has()} sidecars have the policy`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const keys = Array.from({ length: KEYS }, (_, index) => readApiKeySecret(keySecret(index)));
  const first = policyOf(keys);
  server.publish(new Map([['fleet', first]]));
  await arrived(first.version);

  const costs: number[] = [];
  let before = first;
  for (let round = 1; round <= 5; round++) {
    const startedMs = performance.now();
    const startedCpu = process.cpuUsage();
    keys[round * 1000] = readApiKeySecret(keySecret(round * 1000, round));
    const policy = policyOf(keys);
    const translatedMs = performance.now() - startedMs;
    server.publish(new Map([['fleet', policy]]));
    const publishedMs = performance.now() - startedMs;
    await arrived(policy.version);
    const totalMs = performance.now() - startedMs;
    const cpu = process.cpuUsage(startedCpu);
    const cpuMs = (cpu.user + cpu.system) / 1000;
    costs.push(cpuMs);
    const [old, now] = [policyText(before), policyText(policy)];
    before = policy;
    const sent = changesBetween(old, now).reduce((sum, each) => sum + (each.type === 'New' ? each.text.length : 0), 0);
    assert.ok(sent < now.length / 50, `${sent} of ${now.length} bytes`);
    const ms = (value: number) => `${value.toFixed(0)} ms`;
    t.diagnostic(
      `translated ${ms(translatedMs)}, published ${ms(publishedMs - translatedMs)}, ${SIDECARS} sidecars ${ms(totalMs - publishedMs)}, in total ${ms(totalMs)}, of which ${ms(cpuMs)} of CPU; ${sent} of ${now.length} bytes to each`,
    );
  }
  // Of the CPU, because other processes of the machine delay the rest.
  const medianMs = costs.toSorted((left, right) => left - right)[2]!;
  assert.ok(medianMs < 1000, `${medianMs} ms`);
});
