import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { accessLine } from '../extproc/telemetry/access-line.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { createLog } from '../runtime/log.ts';
import { AccessLineTap } from './access-line-tap.ts';
import { startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tail-cli-'));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) {
    child.kill();
  }
  rmSync(folder, { recursive: true });
});

function start(...args: readonly string[]) {
  const child = spawn(process.execPath, [main, 'tail', ...args]);
  children.push(child);
  return child;
}

async function tallygateTail(input: string, ...args: readonly string[]) {
  const child = start(...args);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

const linesOf = (stream: Readable) => createInterface({ input: stream })[Symbol.asyncIterator]();

const line = accessLine(outcomeOfStream, []);
const failed = accessLine({ ...outcomeOfStream, requestId: 'r2', status: 502 }, []);

test('lines of stdin are shown, others are marked, and nothing is colored', async () => {
  const [all, errors] = await Promise.all([
    tallygateTail(`${line}garbage \u001b[2J\n{"time":1}\n\n${failed}`),
    tallygateTail(`${line}garbage\n${failed}`, '--errors', '--json'),
  ]);
  const rows = all.stdout.split('\n');
  assert.match(rows[0]!, /^12:00:01 200 .* r1$/);
  assert.deepEqual(rows.slice(1, 3), ['? garbage \\u001b[2J', '? {"time":1}']);
  assert.match(rows[3]!, /^12:00:01 502 .* r2$/);
  assert.deepEqual([rows.length, all.stderr, all.code], [5, '', 0]);
  assert.deepEqual([errors.stdout, errors.stderr, errors.code], [failed, '? garbage\n', 0]);
});

test('lines begin with those of a time', async () => {
  const at = (endMs: number) => accessLine({ ...outcomeOfStream, endMs, requestId: String(endMs) }, []);
  const input = `old\n${at(1000)}old\n${at(61_000)}new\n`;
  const { stdout } = await tallygateTail(input, '--since', '1970-01-01T00:01:00Z');
  assert.match(stdout, /^00:01:01 .* 61000\n\? new\n$/);
});

test('a wrong flag or file is named', async () => {
  const results = await Promise.all([
    tallygateTail('', '--status', '4'),
    tallygateTail('', join(folder, 'none.log')),
    tallygateTail('', folder),
    tallygateTail('', '--since', 'soon'),
    tallygateTail('', '--since', '1h', '--name', 'other'),
  ]);
  assert.deepEqual(
    results.map(({ code, stderr }) => [code, stderr.split('\n')[0]]),
    [
      [2, 'tallygate tail: --status 4 is neither a status such as 429 nor a class such as 4xx'],
      [1, `tallygate: ${folder}/none.log cannot be read (ENOENT); name a file with access lines`],
      [1, `tallygate: ${folder} is a directory; name a file with access lines`],
      [2, 'tallygate tail: --since soon is no time such as 2026-11-01 or 24h'],
      [1, 'tallygate: a gateway keeps no lines for --since; name a file with access lines'],
    ],
  );
});

test('a file is followed, and the reader of the output may end first', async () => {
  const path = join(folder, 'access.log');
  writeFileSync(path, line);
  const child = start(path);
  const [shown] = await once(child.stdout, 'data');
  assert.match(String(shown), / r1\n$/);
  child.stdout.destroy();
  writeFileSync(path, failed.repeat(3), { flag: 'a' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('a running gateway gives its lines to three commands', async () => {
  const written: string[] = [];
  const writer = { write: (text: string) => void written.push(text), dropped: 0, close: () => {} };
  const lines = new AccessLineTap(writer);
  const opened = openQuotaStore({ path: join(folder, 'journal.db') });
  const socket = join(folder, 'quota.sock');
  const log = createLog({ level: 'silent', keys: { process: 'extproc' } });
  const server = await startQuotaServer(socket, { ...opened, refused: new RefusedRequests(), lines }, log);
  const followers = [1, 2, 3].map(() => start('--socket', socket));
  const shown = followers.map((child) => once(child.stdout, 'data'));
  const repeated = setInterval(() => lines.write(line), 20);
  for (const [text] of await Promise.all(shown)) {
    assert.match(String(text), / r1\n/);
  }
  clearInterval(repeated);
  assert.equal(written[0], line);
  const fourth = await tallygateTail('', '--socket', socket);
  assert.equal(fourth.stderr, 'tallygate: three commands follow the access lines already; end one of them\n');
  await server.close();
  opened.store.close();
  await opened.usage?.close(10_000);
});

test('a gateway that starts again is followed on', async () => {
  const written = { write: () => {}, dropped: 0, close: () => {} };
  const opened = openQuotaStore({ path: join(folder, 'again.db') });
  const socket = join(folder, 'again.sock');
  const log = createLog({ level: 'silent', keys: { process: 'extproc' } });
  const gateway = async () => {
    const lines = new AccessLineTap(written);
    const server = await startQuotaServer(socket, { ...opened, refused: new RefusedRequests(), lines }, log);
    return { lines, close: () => server.close() };
  };
  const child = start('--socket', socket, '--json');
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  assert.deepEqual(await once(child, 'exit'), [1, null]);
  assert.match(stderr, /^tallygate: no gateway runs at /);
  const follower = start('--socket', socket, '--json');
  const notes = linesOf(follower.stderr);
  const shown = linesOf(follower.stdout);
  for (const requestId of ['r1', 'r2']) {
    const { lines, close } = await gateway();
    const repeated = setInterval(() => lines.write(accessLine({ ...outcomeOfStream, requestId }, [])), 20);
    let next: string;
    do {
      next = String((await shown.next()).value);
    } while (JSON.parse(next).requestId !== requestId);
    clearInterval(repeated);
    await close();
    if (requestId === 'r1') {
      assert.match(String((await notes.next()).value), /the gateway has ended; waiting until it runs again$/);
    } else {
      assert.match(String((await notes.next()).value), /the gateway runs again$/);
    }
  }
  opened.store.close();
  await opened.usage?.close(10_000);
});
