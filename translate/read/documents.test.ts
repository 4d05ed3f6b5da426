import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDocuments } from './documents.ts';

const secret = (name: string, value = 'one') => `kind: Secret\nmetadata:\n  name: ${name}\nvalue: ${value}\n`;

function linesOf(text: string): readonly (readonly [name: unknown, line: number | undefined])[] {
  return readDocuments('a.yaml', text).documents.map(({ value, source }) => [
    Object(value['metadata']).name,
    source.lines.get('value'),
  ]);
}

test('documents have the lines of the file, also when the file changes before them', () => {
  const text = `# comment\n---\n${secret('a')}---\n${secret('b')}--- # and a comment\n${secret('a')}`;
  const expected = [
    ['a', 6],
    ['b', 11],
    ['a', 16],
  ];
  assert.deepEqual(linesOf(text), expected);
  assert.deepEqual(linesOf(text), expected);
  const longer = text.replace('name: a\n', 'name: a\n  labels: {}\n');
  assert.deepEqual(linesOf(longer), [
    ['a', 7],
    ['b', 12],
    ['a', 17],
  ]);
});

test('a changed document has its new value', () => {
  const values = (text: string) => readDocuments('b.yaml', text).documents.map(({ value }) => value['value']);
  assert.deepEqual(values(`${secret('a')}---\n${secret('b')}`), ['one', 'one']);
  assert.deepEqual(values(`${secret('a')}---\n${secret('b', 'two')}`), ['one', 'two']);
});

test('a problem has the line of the file', () => {
  const text = `${secret('a')}---\nkind: a: b\n---\n${secret('b')}`;
  for (const shift of [0, 2]) {
    const { documents, problems } = readDocuments('c.yaml', '#\n'.repeat(shift) + text);
    assert.equal(documents.length, 2);
    assert.deepEqual(new Set(problems.map(({ line }) => line)), new Set([6 + shift]));
  }
});

test('a block scalar, a document end and directives keep their meaning', () => {
  const names = (text: string) => linesOf(text).map(([name]) => name);
  assert.deepEqual(names(`${secret('a')}text: |\n  ---\n  kind: X\n---\n${secret('b')}`), ['a', 'b']);
  assert.deepEqual(names(`%YAML 1.2\n---\n${secret('a')}...\n---\n${secret('b')}`), ['a', 'b']);
});
