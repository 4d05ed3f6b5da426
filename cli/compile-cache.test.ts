import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const program = join(import.meta.dirname, 'bin.cjs');

/** Prints at exit whether the process has loaded Node's TypeScript compiler. */
const PROBE = `
  process.on('exit', () => console.error(process.moduleLoadList.some((name) => name.includes('amaro'))));
`;
const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(PROBE)}`;

test('the second start needs no TypeScript compiler', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-cache-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const compilerIsLoaded = () => {
    const { status, stderr } = spawnSync(process.execPath, [program, 'version'], {
      env: { HOME: folder, XDG_CACHE_HOME: folder, NODE_OPTIONS },
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    return stderr.trim();
  };
  assert.equal(compilerIsLoaded(), 'true');
  assert.notDeepEqual(readdirSync(join(folder, 'tallygate/compiled')), []);
  assert.equal(compilerIsLoaded(), 'false');
});

test('a relative XDG_CACHE_HOME is ignored', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-cache-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const env = { HOME: folder, XDG_CACHE_HOME: 'elsewhere' };
  assert.equal(spawnSync(process.execPath, [program, 'version'], { env, cwd: folder }).status, 0);
  assert.deepEqual(readdirSync(folder), ['.cache']);
});
