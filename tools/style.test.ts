/** Checks the parts of the code style that the linter has no rule for. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const files = execFileSync('git', ['ls-files', '*.ts'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && !file.includes('/gen/'));

/** Returns `file:line: text` of each line that `wrong` matches. */
function linesWhere(wrong: (line: string) => boolean): readonly string[] {
  return files.flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line, index) => (wrong(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  );
}

test('private members use #, not accessibility modifiers', () => {
  assert.deepEqual(
    linesWhere((line) => /^\s+(private|public) /.test(line)),
    [],
  );
});

test('comment lines are at most 100 columns wide', () => {
  assert.deepEqual(
    linesWhere((line) => line.length > 100 && /^\s*(\/\/|\/?\*)/.test(line) && !line.includes('https://')),
    [],
  );
});

test('objects list their members instead of spreading literals', () => {
  assert.deepEqual(
    linesWhere((line) => /\.\.\.\{/.test(line)),
    [],
  );
});
