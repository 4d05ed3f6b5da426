import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { followFile } from './follow.ts';
import { linesOfStream } from './lines.ts';

const folder = mkdtempSync(join(tmpdir(), 'tail-'));
after(() => rmSync(folder, { recursive: true }));

const linesFrom = async (lines: AsyncIterator<string>, count: number) => {
  const found: (string | undefined)[] = [];
  while (found.length < count) {
    found.push((await lines.next()).value);
  }
  return found;
};

/** Returns the lines that the file has. */
async function lastOf(path: string, lines: number) {
  return await Array.fromAsync(followFile(path, { lines, pollMs: 1, signal: AbortSignal.abort() }));
}

test('the last lines come first', async () => {
  const path = join(folder, 'last.log');
  writeFileSync(path, '1\n2\n3\n');
  assert.deepEqual(await lastOf(path, 0), []);
  assert.deepEqual(await lastOf(path, 2), ['2', '3']);
  assert.deepEqual(await lastOf(path, 3), ['1', '2', '3']);
  assert.deepEqual(await lastOf(path, 9), ['1', '2', '3']);
  writeFileSync(path, '1\n2\nhalf');
  assert.deepEqual(await lastOf(path, 2), ['2', 'half']);
  const long = Array.from({ length: 5 }, (_, nth) => `${nth}${'x'.repeat(50_000)}`);
  writeFileSync(path, `${long.join('\n')}\n`);
  assert.deepEqual(await lastOf(path, 4), long.slice(1));
  writeFileSync(path, '');
  assert.deepEqual(await lastOf(path, 2), []);
});

test('lines follow through growth, a rotation and a truncation', async () => {
  const path = join(folder, 'access.log');
  writeFileSync(path, 'old\n');
  const lines = followFile(path, { lines: 1, pollMs: 1 });
  assert.deepEqual(await linesFrom(lines, 1), ['old']);
  const next = lines.next();
  appendFileSync(path, 'sp');
  appendFileSync(path, 'lit\n');
  assert.equal((await next).value, 'split');
  renameSync(path, `${path}.1`);
  const late = lines.next();
  appendFileSync(`${path}.1`, 'late\n');
  assert.equal((await late).value, 'late');
  writeFileSync(path, 'new\nnewer\n');
  assert.deepEqual(await linesFrom(lines, 2), ['new', 'newer']);
  const short = lines.next();
  truncateSync(path);
  appendFileSync(path, 'short\n');
  assert.equal((await short).value, 'short');
  await lines.return(undefined);
});

test('lines of a stream are bounded, and characters may be split', async () => {
  const bytes = Buffer.from(`é\n${'x'.repeat(300_000)}\nend`);
  const chunks = [bytes.subarray(0, 1), bytes.subarray(1, 200_000), bytes.subarray(200_000)];
  const lines = await Array.fromAsync(linesOfStream(Readable.from(chunks)));
  assert.deepEqual(
    lines.map((line) => line.length),
    [1, 256 * 1024, 3],
  );
  assert.deepEqual([lines[0], lines[2]], ['é', 'end']);
});
