import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../runtime/log.ts';
import type { Plan } from '../translate/plan.ts';
import { type ConfigReload, followConfig } from './config-reload.ts';
import { type Loader, newLoader } from './load.ts';

const folder = mkdtempSync(join(tmpdir(), 'edits-'));
const file = (name: string) => join(folder, name);
const write = (name: string, text: string) => writeFileSync(file(name), text);

const gateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai, namespace: default}
spec: {gatewayClassName: tallygate, listeners: [{name: http, port: 8080, protocol: HTTP}]}
`;
const route = (name: string, models: string) => `apiVersion: tallygate.dev/v1alpha1
kind: AIBackend
metadata: {name: ${name}, namespace: default}
spec: {schema: OpenAI, endpoint: {type: Hostname, hostname: {name: api.openai.com}, tls: {mode: Disabled}}}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIGatewayRoute
metadata: {name: ${name}, namespace: default}
spec:
  parentRefs: [{name: ai}]
  rules: [{name: all, ${models}, backendRefs: [{name: ${name}}]}]
`;

interface Line {
  readonly msg: string;
  readonly problem?: string;
  readonly held?: readonly string[];
}

const tokens = { results: () => new Map(), want() {} };
const issuerKeys = { results: () => new Map(), want() {} };
let edits: ConfigReload | undefined;
let loader: Loader;
let applied: Plan[];
let lines: Line[];
const models = (plan: Plan | undefined) =>
  plan?.policy.virtualHosts.flatMap(({ rules }) => rules.flatMap((rule) => rule.models)).toSorted();

beforeEach(async () => {
  await edits?.close();
  for (const [name, text] of [
    ['gateway.yaml', gateway],
    ['red.yaml', route('red', 'models: [red-1]')],
    ['blue.yaml', route('blue', 'models: [blue-1]')],
  ] as const) {
    write(name, text);
  }
  applied = [];
  lines = [];
  const socket = { type: 'Unix', path: '/nowhere' } as const;
  const envoy = {
    directory: '/nowhere',
    extproc: socket,
    admin: socket,
    listenAddress: '127.0.0.1',
  };
  loader = newLoader({ paths: [folder], environment: {}, envoy, routeSecret: 'of the test', issuerKeys, tokens });
  const { plan, paths, errors } = await loader.load();
  assert.ok(plan, errors.join('\n'));
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = createLog({ level: 'info', destination });
  edits = followConfig({ loader, plan, paths, apply: async (next) => void applied.push(next), log, remindMs: 300 });
});
after(async () => {
  await edits?.close();
  rmSync(folder, { recursive: true });
});

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const start = performance.now(); !holds(); await sleep(10)) {
    assert.ok(performance.now() - start < 10_000, `${what}: ${JSON.stringify(lines)}`);
  }
}

describe('while one file is invalid', () => {
  test('edits of other files are applied, and the log repeats the error', async () => {
    write('red.yaml', route('red', 'modles: [red-2]'));
    const wrong = () => lines.filter(({ held }) => held?.includes(file('red.yaml')));
    await until('the error', () => wrong().length > 0);
    assert.match(wrong()[0]?.problem ?? '', /red\.yaml:11: .*modles/);
    write('blue.yaml', route('blue', 'models: [blue-2]'));
    await until('the other edit', () => applied.length > 0);
    assert.deepEqual(models(applied.at(-1)), ['blue-2', 'red-1']);
    const before = wrong().length;
    await until('a reminder', () => wrong().length > before + 1);
    write('red.yaml', route('red', 'models: [red-3]'));
    await until('the repaired file', () => models(applied.at(-1))?.includes('red-3') === true);
    assert.deepEqual(models(applied.at(-1)), ['blue-2', 'red-3']);
  });

  test('a new invalid file is left out', async () => {
    write('green.yaml', 'kind: [');
    await until('the error', () => lines.some(({ held }) => held?.includes(file('green.yaml'))));
    write('blue.yaml', route('blue', 'models: [blue-2]'));
    await until('the other edit', () => applied.length > 0);
    assert.deepEqual(models(applied.at(-1)), ['blue-2', 'red-1']);
    rmSync(file('green.yaml'));
  });

  test('an edit that depends on the invalid file is not applied, and is logged', async () => {
    write('gateway.yaml', gateway.replaceAll('name: ai', 'name: other'));
    await until('the errors', () => lines.length >= 2);
    assert.ok(lines.every(({ msg }) => msg.includes('last good state of all files')));
    const before = lines.length;
    write('blue.yaml', route('blue', 'models: [blue-2]'));
    await until('the second edit', () => lines.length > before);
    assert.deepEqual(applied, []);
  });
});
