import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../runtime/log.ts';
import { endWithParent } from './parent-death.ts';
import { endStaleProcess } from './stale-process.ts';
import { supervise } from './supervisor.ts';

const log = createLog({ level: 'silent', destination: { write: () => {} } });

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 8000; !holds(); await sleep(10)) {
    if (performance.now() > end) {
      throw new Error(`never: ${what}`);
    }
  }
}

function alive(pid: number | undefined): boolean {
  if (pid === undefined) {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/**
 * Starts a child that runs `script` in the shell. It ends with the test, even if the test fails;
 * otherwise it would block the runner.
 */
function child(t: TestContext, script: string, spare = false) {
  const folder = mkdtempSync(join(tmpdir(), 'child-'));
  const lines: string[] = [];
  const supervised = supervise({
    name: 'test',
    command: '/bin/sh',
    args: ['-c', script, 'sh'],
    environment: { PATH: '/usr/bin:/bin' },
    pidPath: join(folder, 'pid'),
    log,
    onLine: (line) => lines.push(line),
    ...(spare && { spare: { args: ['in-reserve'], pidPath: join(folder, 'spare.pid') } }),
  });
  t.after(() => supervised.stop(0));
  return { supervised, lines, folder };
}

test('a child that exits restarts at once, and a stopped child stays stopped', async (t) => {
  const { supervised, lines, folder } = child(t, 'echo up >&2; exec sleep 60');
  supervised.start();
  await until('up', () => lines.length === 1);
  const first = supervised.pid!;
  assert.equal(readFileSync(join(folder, 'pid'), 'utf8'), String(first));
  process.kill(first, 'SIGKILL');
  await until('up again', () => lines.length === 2);
  assert.notEqual(supervised.pid, first);
  const second = supervised.pid!;
  await supervised.stop(5000);
  assert.ok(!alive(second));
  assert.equal(supervised.pid, undefined);
  assert.equal(supervised.restarts, 1);
});

test('a child that ignores SIGTERM is killed at the deadline', async (t) => {
  const { supervised, lines } = child(t, 'trap "" TERM; echo up >&2; while :; do sleep 0.05; done');
  supervised.start();
  await until('up', () => lines.length === 1);
  const pid = supervised.pid!;
  await supervised.stop(100);
  assert.ok(!alive(pid));
});

test('the reserve process takes over at once when the active one exits, and is replaced', async (t) => {
  const { supervised, lines, folder } = child(
    t,
    'echo "$1 ready" >&2; read -r word; echo "$1 $word" >&2; exec sleep 60',
    true,
  );
  supervised.start();
  await until('begun', () => lines.includes(' begin'));
  await until('reserve', () => lines.includes('in-reserve ready'));
  assert.ok(!lines.includes('in-reserve begin'), 'it waits');
  const reserve = Number(readFileSync(join(folder, 'spare.pid'), 'utf8'));
  process.kill(supervised.pid!, 'SIGKILL');
  await until('taken over', () => lines.includes('in-reserve begin'));
  assert.equal(supervised.pid, reserve);
  await until('a new reserve', () => lines.filter((line) => line === 'in-reserve ready').length === 2);
  const newReserve = Number(readFileSync(join(folder, 'spare.pid'), 'utf8'));
  await supervised.stop(1000);
  await until('all ended', () => !alive(reserve) && !alive(newReserve));
});

test('a child does not outlive a parent that is killed', async (t) => {
  const script = `import { spawn } from 'node:child_process';
    import { endWithParent } from ${JSON.stringify(new URL('./parent-death.ts', import.meta.url).href)};
    const child = spawn('sleep', ['60'], { detached: true });
    endWithParent(child.pid);
    console.log(child.pid);
    setInterval(() => {}, 1000);`;
  const { spawn } = await import('node:child_process');
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => parent.kill('SIGKILL'));
  const [text] = await new Promise<[Buffer]>((resolve) => parent.stdout.once('data', (piece) => resolve([piece])));
  const pid = Number(text.toString());
  assert.ok(alive(pid));
  parent.kill('SIGKILL');
  await until('end of the child', () => !alive(pid));
});

test('a released watcher does not end the process', async (t) => {
  const { supervised, lines } = child(t, 'echo up >&2; exec sleep 60');
  supervised.start();
  await until('up', () => lines.length === 1);
  endWithParent(supervised.pid!)();
  await sleep(100);
  assert.ok(alive(supervised.pid));
  await supervised.stop(1000);
});

test('only processes whose command line names the state folder are ended', async (t) => {
  const marker = mkdtempSync(join(tmpdir(), 'marker-'));
  writeFileSync(join(marker, 'log'), '');
  const { supervised, lines } = child(t, `echo up >&2; exec tail -f ${marker}/log`);
  supervised.start();
  await until('up', () => lines.length === 1);
  const pidPath = join(marker, 'pid');
  writeFileSync(pidPath, String(supervised.pid));
  const pid = supervised.pid!;
  assert.equal(await endStaleProcess(pidPath, '/another/folder'), false);
  assert.ok(alive(pid));
  writeFileSync(pidPath, String(pid));
  const ended = endStaleProcess(pidPath, marker);
  assert.equal(await ended, true);
  assert.ok(!alive(pid));
  assert.equal(await endStaleProcess(pidPath, marker), false);
  await supervised.stop(1000);
});
