import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { problemText } from '../../translate/problem.ts';
import { convert } from './convert.ts';
import { draftsToYaml } from './draft.ts';
import { reportText } from './report.ts';

const directory = new URL('testdata/', import.meta.url);
const inputs = readdirSync(directory).filter((name) => name.endsWith('.in.yaml'));

function assertGolden(name: string, actual: string): void {
  const expected = new URL(name, directory);
  if (process.env['UPDATE_GOLDEN']) {
    writeFileSync(expected, actual);
  }
  assert.equal(actual, readFileSync(expected, 'utf8'));
}

for (const input of inputs) {
  test(`testdata/${input} is converted to resources that pass tallygate check`, () => {
    const { drafts, entries, problems } = convert(
      [{ name: input, text: readFileSync(new URL(input, directory), 'utf8') }],
      undefined,
      () => undefined,
    );
    assert.deepEqual(problems.map(problemText), []);
    assertGolden(input.replace('.in.yaml', '.out.yaml'), draftsToYaml(drafts));
    assertGolden(input.replace('.in.yaml', '.report.txt'), reportText(entries));
  });
}
