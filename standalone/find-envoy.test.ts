import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findEnvoy } from './find-envoy.ts';

/** Creates a folder with a program that reports to be Envoy of this version. */
function folderWith(version: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'envoy-'));
  const path = join(folder, 'envoy');
  writeFileSync(path, `#!/bin/sh\necho "$0  version: abc/${version}/Clean/RELEASE/BoringSSL"\n`);
  chmodSync(path, 0o755);
  return folder;
}

test('the named Envoy comes before the tools folder and the PATH', async () => {
  const [named, tools, searched] = [folderWith('1.40.1'), folderWith('1.40.2'), folderWith('1.40.3')];
  const versions = [];
  for (const places of [
    { named: join(named, 'envoy'), toolsFolder: tools, searchPath: searched },
    { named: undefined, toolsFolder: tools, searchPath: searched },
    { named: undefined, toolsFolder: '/nowhere', searchPath: `/nowhere:${searched}` },
  ]) {
    versions.push((await findEnvoy(places)).version);
  }
  assert.deepEqual(versions, ['1.40.1', '1.40.2', '1.40.3']);
});

test('a missing, old or wrong Envoy is refused with a fix', async () => {
  const places = { named: undefined, toolsFolder: '/nowhere', searchPath: '' };
  await assert.rejects(findEnvoy(places), /Envoy not found; run `make setup`/);
  await assert.rejects(
    findEnvoy({ ...places, named: join(folderWith('1.37.9'), 'envoy') }),
    /is Envoy 1\.37\.9, but 1\.40 or newer/,
  );
  await assert.rejects(findEnvoy({ ...places, named: '/bin/true' }), /\/bin\/true is not Envoy: /);
  await assert.rejects(findEnvoy({ ...places, named: '/bin/false' }), /--version failed/);
  assert.equal((await findEnvoy({ ...places, named: join(folderWith('2.0.0'), 'envoy') })).version, '2.0.0');
});
