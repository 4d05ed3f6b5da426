import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EnvoyAdmin, Subscription } from './envoy-admin.ts';
import { openEnvoyFiles } from './envoy-files.ts';

const file = (name: string, text: string, mode: 0o600 | 0o644 = 0o644) => ({ name, text, mode });

/** A fake admin interface that has loaded or refused `clusters.json` after some calls. */
function envoy(folder: string, behaviour: { readonly refuses: boolean; readonly reads: number }) {
  let asked = 0;
  let version = 'old';
  let rejected = 0;
  const admin: Pick<EnvoyAdmin, 'subscriptions'> = {
    async subscriptions() {
      // The first call is before the file is written.
      if (asked++ === behaviour.reads) {
        if (behaviour.refuses) {
          rejected++;
        } else {
          version = JSON.parse(readFileSync(join(folder, 'clusters.json'), 'utf8')).version_info;
        }
      }
      return new Map<string, Subscription>([['cluster_manager.cds', { version, rejected }]]);
    },
  };
  return { admin: admin as EnvoyAdmin, asked: () => asked };
}

const newFolder = () => mkdtempSync(join(tmpdir(), 'envoy-files-'));

test('while Envoy does not run, only changed files are written', async () => {
  const folder = newFolder();
  const files = openEnvoyFiles(folder, () => undefined);
  await files.write([file('secret-a.json', '{"resources":[1]}', 0o600), file('clusters.json', '{"resources":[]}')]);
  assert.equal(statSync(join(folder, 'secret-a.json')).mode & 0o777, 0o600);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'secret-a.json'), 'utf8')).resources, [1]);
  const { ino } = statSync(join(folder, 'clusters.json'));
  await files.write([file('clusters.json', '{"resources":[]}')]);
  assert.equal(statSync(join(folder, 'clusters.json')).ino, ino);
  files.keepOnly(new Set(['clusters.json']));
  assert.deepEqual(readdirSync(folder), ['clusters.json']);
});

test('a write resolves when Envoy has loaded the version', async () => {
  const folder = newFolder();
  const { admin, asked } = envoy(folder, { refuses: false, reads: 4 });
  const files = openEnvoyFiles(folder, () => admin);
  await files.write([file('clusters.json', '{"resources":[]}'), file('route-x.json', '{"resources":[]}')]);
  assert.equal(asked(), 5);
});

test('a write that Envoy refuses rejects with its reason', async () => {
  const folder = newFolder();
  const { admin } = envoy(folder, { refuses: true, reads: 2 });
  const files = openEnvoyFiles(folder, () => admin);
  const writing = files.write([file('clusters.json', '{"resources":[]}')]);
  files.noteLine('W config Filesystem config update rejected: no such thing');
  await assert.rejects(writing, /Envoy refused cluster_manager\.cds: no such thing/);
});
