import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLineWriter } from './line-writer.ts';
import { openOutput } from './output.ts';

const folder = () => mkdtempSync(join(tmpdir(), 'lines-'));

test('lines are written in batches and in order, and closing writes the rest', () => {
  const taken: string[] = [];
  const writer = createLineWriter({ write: (bytes) => taken.push(Buffer.from(bytes).toString()) > 0 });
  for (let i = 0; i < 3; i++) {
    writer.write(`${i}é😀\n`);
  }
  assert.deepEqual(taken, []);
  writer.close();
  assert.deepEqual(taken, ['0é😀\n1é😀\n2é😀\n']);
});

test('a full batch does not wait for the timer, and no line is cut or out of order', () => {
  const taken: Uint8Array[] = [];
  const writer = createLineWriter({ write: (bytes) => taken.push(bytes) > 0 });
  const lines = [10, 21_000, 21_000, 900, 70_000, 21_846, 5].map((length, nth) => `${nth}${'€'.repeat(length)}\n`);
  for (const line of lines) {
    writer.write(line);
  }
  assert.ok(taken.length >= 5);
  writer.close();
  assert.equal(Buffer.concat(taken).toString(), lines.join(''));
  for (const bytes of taken) {
    assert.equal(bytes.at(-1), 0x0a);
  }
});

test('dropped lines are counted', () => {
  const writer = createLineWriter({ write: () => false });
  writer.write('a\n');
  writer.write('b\n');
  writer.close();
  assert.equal(writer.dropped, 2);
});

test('a file receives every line', async () => {
  const path = join(folder(), 'out');
  const output = openOutput(openSync(path, 'w'), 1e6);
  const writer = createLineWriter(output);
  for (let i = 0; i < 20_000; i++) {
    writer.write(`line ${i}\n`);
  }
  writer.close();
  await output.close(5000);
  assert.equal(readFileSync(path, 'utf8').split('\n').length, 20_001);
  assert.equal(writer.dropped, 0);
});

test('a pipe that nobody reads loses lines, and takes neither memory nor time', {
  skip: process.platform === 'win32',
}, async () => {
  const fifo = join(folder(), 'fifo');
  assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
  // Both ends are held open, so that the pipe only fills.
  const reader = openSync(fifo, constants.O_RDWR);
  const output = openOutput(openSync(fifo, constants.O_WRONLY), 8e6);
  const writer = createLineWriter(output);
  const line = `${'x'.repeat(70_000)}\n`;
  const begin = performance.now();
  for (let i = 0; i < 400; i++) {
    writer.write(line);
  }
  assert.ok(writer.dropped > 200 && writer.dropped < 300, `dropped ${writer.dropped}`);
  await output.close(50);
  assert.ok(performance.now() - begin < 2000);
  closeSync(reader);
});
