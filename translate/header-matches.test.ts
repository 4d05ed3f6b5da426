import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headerMatches } from './header-matches.ts';
import { newReport, type Subject } from './report.ts';

const about: Subject = { ref: { group: 'tallygate.dev', kind: 'AIGatewayRoute', namespace: 'default', name: 'chat' } };

function judge(value: string): { readonly pattern: string | undefined; readonly problem: string | undefined } {
  const report = newReport();
  const made = headerMatches([{ type: 'RegularExpression', name: 'X-Team', value }], 'headers', about, report);
  return { pattern: made?.[0]?.value, problem: report.sorted()[0]?.message };
}

test('an expression matches the whole value', () => {
  const { pattern } = judge('red|blue-[0-9]+');
  assert.ok(pattern);
  assert.ok(new RegExp(pattern, 'u').test('blue-12'));
  assert.ok(!new RegExp(pattern, 'u').test('redder'));
});

for (const pattern of ['(a+)+', '(?:a|a)*b', '(x){2,}', '(?=a)b', '(?<n>a)', '(a)\\1', '[', '.*.*.*x', '\\p{Nope}']) {
  test(`${pattern} is refused`, () => assert.ok(judge(pattern).problem));
}

for (const pattern of [
  'a.*b',
  '[()*+]+',
  '\\(\\)\\*',
  'team-[a-z]{2,8}',
  '(red|blue)',
  '(?:red|blue)?-1',
  '.*@example\\.com',
]) {
  test(`${pattern} is taken`, () => assert.equal(judge(pattern).problem, undefined));
}

test('headers that are ours are refused', () => {
  const report = newReport();
  assert.equal(
    headerMatches([{ type: 'Exact', name: 'X-Tallygate-Route', value: 'a' }], 'h', about, report),
    undefined,
  );
  assert.equal(report.sorted()[0]?.path, 'h[0].name');
});
