import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newDiagnostics, type Subject } from '../diagnostics.ts';
import { headerMatches } from './header-matches.ts';

const about: Subject = { ref: { group: 'tallygate.dev', kind: 'AIGatewayRoute', namespace: 'default', name: 'chat' } };

function problemOf(value: string): string | undefined {
  const diagnostics = newDiagnostics();
  headerMatches([{ type: 'RegularExpression', name: 'x-team', value }], 'h', about, diagnostics);
  return diagnostics.sorted()[0]?.message;
}

test('header names become lower case, and expressions do not change', () => {
  const diagnostics = newDiagnostics();
  const made = headerMatches(
    [{ type: 'RegularExpression', name: 'X-Team', value: 'red|blue' }],
    'h',
    about,
    diagnostics,
  );
  assert.deepEqual(made, [{ type: 'RegularExpression', name: 'x-team', value: 'red|blue' }]);
});

for (const pattern of ['(?=a)b', '(a)\\1', '[', '(?:a|a){200}b', 'a{0,99}a{0,99}a{0,99}']) {
  test(`${pattern} is refused`, () => assert.ok(problemOf(pattern)));
}

for (const pattern of [
  'a.*b',
  '[()*+]+',
  '\\(\\)\\*',
  'team-[a-z]{2,8}',
  '(red|blue)',
  '(?:red|blue)?-1',
  '.*@example\\.com',
  '(a+)+',
]) {
  test(`${pattern} is accepted`, () => assert.equal(problemOf(pattern), undefined));
}

test('reserved headers are refused', () => {
  const diagnostics = newDiagnostics();
  assert.equal(
    headerMatches([{ type: 'Exact', name: 'X-Tallygate-Route', value: 'a' }], 'h', about, diagnostics),
    undefined,
  );
  assert.equal(diagnostics.sorted()[0]?.path, 'h[0].name');
});
