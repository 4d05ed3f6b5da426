import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAllDocuments, stringify } from 'yaml';
import { problemText } from '../../translate/problem.ts';
import { mistake, spoilt } from '../../translate/testing.ts';
import { convert } from './convert.ts';
import { draftsToYaml } from './draft.ts';
import { reportText } from './report.ts';

const directory = new URL('testdata/', import.meta.url);
const inputs = readdirSync(directory).filter((name) => name.endsWith('.in.yaml'));
const textOf = (name: string) => readFileSync(new URL(name, directory), 'utf8');
const convertText = (text: string, name = 'input.yaml') => convert([{ name, text }], undefined, () => undefined);

for (const input of inputs) {
  test(`the report of testdata/${input} covers each field`, () => {
    const { entries } = convertText(textOf(input), input);
    const reported = new Set(entries.map(({ field }) => field));
    const leaves = parseAllDocuments(textOf(input), { merge: true }).flatMap((document) => [
      ...leafPaths(document.toJS(), ''),
    ]);
    assert.ok(leaves.length > 10);
    assert.deepEqual(
      leaves.filter((path) => !prefixesOf(path).some((prefix) => reported.has(prefix))),
      [],
    );
  });
}

function* leafPaths(value: unknown, path: string): Generator<string> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (entries.length === 0) {
    yield path;
  }
  for (const [key, member] of entries) {
    yield* leafPaths(member, Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`);
  }
}

function prefixesOf(path: string): readonly string[] {
  return [path, ...[...path.matchAll(/[.[]/g)].map(({ index }) => path.slice(0, index)), ''];
}

/** An alias is lost where its anchor is replaced. */
function withoutAliases(text: string): string {
  return parseAllDocuments(text, { merge: true })
    .map((document) => stringify(document.toJS(), { aliasDuplicateObjects: false }))
    .join('---\n');
}

test('a mistake in any field is reported, or the output still passes tallygate check', () => {
  fc.assert(
    fc.property(fc.constantFrom(...inputs), fc.nat(), mistake, (input, seed, wrong) => {
      const { problems } = convertText(spoilt(withoutAliases(textOf(input)), seed, wrong));
      assert.deepEqual(problems.filter(({ file }) => file === 'output').map(problemText), []);
    }),
    { numRuns: Number(process.env['CASES'] ?? 40) },
  );
});

test('no secret of a file is in the output or the report', () => {
  for (const input of inputs) {
    const { drafts, entries } = convertText(textOf(input), input);
    const said = `${draftsToYaml(drafts)}${reportText(entries)}${JSON.stringify(entries)}`;
    assert.doesNotMatch(said, /in-the-file/, input);
  }
});
