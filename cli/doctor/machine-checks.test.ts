import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { newAuthority } from '../../fixtures/certificates.ts';
import { type CheckOutcome, fixSections, ok, problem } from './check-result.ts';
import { expiriesOf, expiryOutcomes } from './expiry-checks.ts';
import { checkFiles, portOutcomes } from './file-checks.ts';
import { observeInstance } from './instance.ts';
import { envoyOutcomes, programOutcomes, variableOutcomes } from './program-checks.ts';
import { resultLines, resultReport } from './report.ts';
import { runChecks } from './run-checks.ts';
import { journalFileOutcomes, readStateFolder, type StateFolder, stateOutcomes } from './state-checks.ts';
import { readStoreClock, storeOutcomes } from './store-checks.ts';

const folder = mkdtempSync(join(tmpdir(), 'doctor-'));
after(() => rmSync(folder, { recursive: true }));

const DAY_MS = 24 * 3_600_000;
const states = (outcomes: readonly CheckOutcome[]) => outcomes.map(({ state }) => state);
const paths = (parent: string) => ({
  folder: parent,
  extprocAdminSocket: join(parent, 'extproc-admin.sock'),
  envoyAdminSocket: join(parent, 'envoy-admin.sock'),
  quotaSocket: join(parent, 'quota.sock'),
});

describe('program and environment', () => {
  it('accepts this version of Node and refuses an old one', () => {
    assert.deepEqual(states(programOutcomes('1.0.0', process.versions.node)), ['ok']);
    assert.deepEqual(states(programOutcomes('1.0.0', '22.17.0')), ['problem']);
  });

  it('reports a missing Envoy with the fix of tallygate run', async () => {
    const [found] = await envoyOutcomes({ named: undefined, toolsFolder: folder, searchPath: folder });
    assert.equal(found?.text, 'Envoy not found');
    assert.match(found?.fix ?? '', /make setup/);
  });

  it('reports variables that nothing reads, and what they may mean', () => {
    const names = ['TALLYGATE_LOG_LEVLE', 'TALLYGATE_LOG_LEVEL', 'TALLYGATE_MY_KEY', 'TALLYGATE_OTHER_THING', 'HOME'];
    const found = variableOutcomes(names, new Set(['TALLYGATE_MY_KEY']));
    assert.deepEqual(states(found), ['problem', 'warning']);
    assert.match(found[0]?.fix ?? '', /TALLYGATE_LOG_LEVEL,/);
    assert.deepEqual(states(variableOutcomes(['TALLYGATE_LOG_LEVEL'], new Set())), ['ok']);
  });
});

describe('state folder', () => {
  const good: StateFolder = {
    path: '/state',
    canCreate: true,
    freeBytes: 2 ** 40,
    folder: { uid: 1000, mode: 0o40700, isAccessible: true, journal: [] },
  };
  const changed = (facts: Partial<NonNullable<StateFolder['folder']>>): StateFolder => ({
    ...good,
    folder: { ...good.folder!, ...facts },
  });

  it('reports the folder and the disk', () => {
    assert.deepEqual(states(stateOutcomes(good, 1000)), ['ok', 'ok']);
    assert.deepEqual(states(stateOutcomes(changed({ mode: 0o40755 }), 1000)), ['warning', 'ok']);
    assert.deepEqual(states(stateOutcomes(changed({ isAccessible: false }), 1000)), ['problem', 'ok']);
    assert.deepEqual(states(stateOutcomes(good, 1001)), ['problem', 'ok']);
    assert.deepEqual(states(stateOutcomes({ ...good, freeBytes: 500 * 2 ** 20 }, 1000)), ['ok', 'warning']);
    assert.deepEqual(states(stateOutcomes({ ...good, freeBytes: 50 * 2 ** 20 }, 1000)), ['ok', 'problem']);
  });

  it('reports a missing folder only where it cannot be created', () => {
    const { folder: _, ...missing } = good;
    assert.deepEqual(states(stateOutcomes(missing, 1000)), ['ok', 'ok']);
    assert.deepEqual(states(stateOutcomes({ ...missing, canCreate: false }, 1000)), ['problem', 'ok']);
  });

  it('reads the folder, and recognizes a file that is no journal', async () => {
    const state = await readStateFolder(folder);
    assert.deepEqual(states(journalFileOutcomes(state)), ['ok']);
    writeFileSync(join(folder, 'journal.db'), 'SQLite format 3\0…');
    assert.deepEqual(states(journalFileOutcomes(await readStateFolder(folder))), ['ok']);
    writeFileSync(join(folder, 'journal.db'), 'something else, and long enough');
    assert.deepEqual(states(journalFileOutcomes(await readStateFolder(folder))), ['problem']);
    const missing = await readStateFolder(join(folder, 'one', 'two'));
    assert.ok(missing.folder === undefined && missing.canCreate && missing.freeBytes > 0);
  });

  it('reports a file of the journal that cannot be written', () => {
    const journal = [{ name: 'journal.db-wal', isAccessible: false }];
    assert.deepEqual(states(journalFileOutcomes(changed({ journal }))), ['problem']);
  });
});

describe('shared store', () => {
  it('reports a clock that differs by more than a second', async () => {
    const at = async (aheadMs: number, uncertaintyMs = 1) =>
      states(await storeOutcomes('store:6379', async () => ({ aheadMs, uncertaintyMs })));
    assert.deepEqual(await at(300), ['ok', 'ok']);
    assert.deepEqual(await at(-1_200), ['ok', 'warning']);
    assert.deepEqual(await at(1_200, 400), ['ok', 'ok']);
  });

  it('reports a store that does not answer, without its password', async () => {
    const config = {
      type: 'Redis',
      mode: 'Standalone',
      addresses: ['127.0.0.1:1'],
      password: 'planted-secret',
      keyPrefix: 'tallygate',
    } as const;
    const found = await storeOutcomes('127.0.0.1:1', () => readStoreClock(config));
    assert.deepEqual(states(found), ['problem']);
    assert.match(found[0]?.text ?? '', /ECONNREFUSED/);
    assert.doesNotMatch(JSON.stringify(found), /planted-secret/);
  });
});

describe('certificates and keys', () => {
  it('warns 14 days ahead and calls an expired certificate a problem', () => {
    const at = (atMs: number, isNeeded: boolean) => states(expiryOutcomes([{ name: 'x', atMs, isNeeded }], 0));
    assert.deepEqual(at(15 * DAY_MS, true), ['ok']);
    assert.deepEqual(at(13 * DAY_MS, true), ['warning']);
    assert.deepEqual(at(-1, true), ['problem']);
    assert.deepEqual(at(-1, false), ['warning']);
  });

  it('finds certificates of Secrets and ConfigMaps and API keys, and prints only their dates', async () => {
    const authority = await newAuthority('authority');
    const { cert, key } = await authority.issue({ subject: 'CN=gateway', expired: true });
    const objects = [
      { kind: 'Secret', name: 'tls', type: 'kubernetes.io/tls', stringData: { 'tls.crt': cert, 'tls.key': key } },
      { kind: 'ConfigMap', name: 'bundle', data: { 'ca.crt': authority.cert } },
      {
        kind: 'Secret',
        name: 'caller',
        labels: { 'tallygate.dev/api-key': 'true' },
        annotations: { 'tallygate.dev/tenant': 'search', 'tallygate.dev/expires': '2026-01-01T00:00:00Z' },
        stringData: { apiKey: 'planted-secret-of-a-caller' },
      },
    ].map(({ name, labels, annotations, ...object }) => ({
      apiVersion: 'v1',
      ...object,
      metadata: { name, namespace: 'default', labels, annotations },
    }));
    const path = join(folder, 'secrets.yaml');
    writeFileSync(path, objects.map((object) => JSON.stringify(object)).join('\n---\n'));
    const found = expiryOutcomes(expiriesOf(checkFiles([path], {}).world), Date.now());
    assert.deepEqual(
      found.map(({ state, fix }) => `${state}: ${fix}`),
      [
        'problem: renew Secret default/tls tls.crt',
        'warning: renew ConfigMap default/bundle ca.crt',
        'warning: renew API key default/caller, or remove it',
      ],
    );
    assert.doesNotMatch(JSON.stringify(found), /BEGIN|planted-secret/);
  });
});

const file = join(folder, 'gateway.yaml');
const resources = (port: number) => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai, namespace: default}
spec:
  gatewayClassName: tallygate
  listeners: [{name: http, port: ${port}, protocol: HTTP}]
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: default}
stringData: {apiKey: "\${TALLYGATE_OWN_KEY}"}
`;

describe('files and ports', () => {
  it('reports what is wrong in the files, and the variables that they name', () => {
    writeFileSync(file, resources(8080));
    const unset = checkFiles([file], {});
    assert.ok(unset.outcomes.some(({ state, text }) => state === 'problem' && text.includes('TALLYGATE_OWN_KEY')));
    assert.deepEqual([...unset.variables], ['TALLYGATE_OWN_KEY']);
    const set = checkFiles([file], { TALLYGATE_OWN_KEY: 'planted-secret' });
    assert.doesNotMatch(JSON.stringify(set.outcomes), /planted-secret/);
    assert.ok(set.outcomes.every(({ state }) => state !== 'problem'));
    assert.deepEqual(states(checkFiles([join(folder, 'none.yaml')], {}).outcomes), ['problem']);
  });

  it('tells a port of another program from one of the gateway', async () => {
    const other = createServer((_, response) => response.end('hello'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    try {
      const instance = await observeInstance({ type: 'tcp', host: '127.0.0.1', port }, paths(folder));
      assert.deepEqual(instance.readiness, { type: 'error', message: 'another program answers' });
      assert.deepEqual(instance.extproc, { type: 'nothing' });
      assert.deepEqual(states(await portOutcomes('127.0.0.1', [port], instance)), ['problem']);
      const own = { ...instance, listeners: { type: 'answer', value: [`127.0.0.1:${port}`] } } as const;
      assert.deepEqual(states(await portOutcomes('127.0.0.1', [port], own)), ['ok']);
    } finally {
      other.close();
    }
  });
});

describe('running and printing checks', () => {
  it('gives each check its time, whatever the others do', async () => {
    const results = await runChecks(
      [
        { name: 'hangs', run: () => new Promise(() => {}) },
        { name: 'throws', run: () => Promise.reject(new Error('broken')) },
        { name: 'works', run: () => [ok('fine')] },
      ],
      20,
    );
    assert.deepEqual(results, [
      { check: 'hangs', state: 'unknown', text: 'no result within 0.02 s' },
      { check: 'throws', state: 'unknown', text: 'broken' },
      { check: 'works', state: 'ok', text: 'fine' },
    ]);
  });

  it('prints fixes with their section, escapes of terminals as text, and colours only if wanted', () => {
    const found = { check: 'journal', ...problem('bad \u001b[31m', 'repair', 'the-state-folder') };
    assert.match(
      resultReport([found], false),
      /^problem {6}journal {2}bad \\u001b\[31m\n {22}fix: repair \(docs\/guides\/troubleshooting.md#the-state-folder\)\n/,
    );
    assert.ok(resultReport([found], true).startsWith('\u001b[31mproblem'));
    assert.equal(JSON.parse(resultLines([found])).documentation, 'docs/guides/troubleshooting.md#the-state-folder');
  });

  it('refers to sections that exist', () => {
    const page = readFileSync(new URL('../../docs/guides/troubleshooting.md', import.meta.url), 'utf8');
    const anchors = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(' ', '-'));
    assert.deepEqual(
      fixSections.filter((section) => !anchors.includes(section)),
      [],
    );
  });
});
