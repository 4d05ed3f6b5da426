import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

function run(fault: string) {
  const program = `
    import { exitOnUncaught } from ${JSON.stringify(new URL('last-resort.ts', import.meta.url).href)};
    exitOnUncaught({ process: 'test' });
    process.on('exit', () => process.stdout.write('exit'));
    setImmediate(() => { ${fault} });
    setTimeout(() => process.stdout.write('went on'), 10);
  `;
  return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 20_000 });
}

for (const [name, fault] of [
  ['an exception', "throw new Error('nobody catches it')"],
  ['a rejection', "Promise.reject(new Error('nobody catches it'))"],
] as const) {
  test(`${name} that nobody catches is logged with its stack, and the process ends at once`, () => {
    const { status, stdout, stderr } = run(fault);
    assert.equal(status, 1);
    assert.equal(stdout, 'exit');
    const lines = stderr.trim().split('\n');
    assert.equal(lines.length, 1, stderr);
    const { level, process: who, err } = JSON.parse(lines[0]!);
    assert.deepEqual([level, who, err.message], ['fatal', 'test', 'nobody catches it']);
    assert.match(err.stack, /at /);
  });
}
