import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { bucketsFor } from './keys.ts';
import { quota } from './testing.ts';

const twoParts = quota('TotalTokens', 10, {
  key: [{ type: 'Header', name: 'x-team' }, { type: 'Model' }, { type: 'Header', name: 'x-user' }],
});
const shared = { ...twoParts, onMissingKey: 'Shared' } as const;

const facts = (headers: Record<string, readonly string[]>, model = 'gpt') => ({
  header: (name: string) => headers[name] ?? [],
  model,
  route: 'default/chat',
});

function keyOf(of: typeof twoParts, headers: Record<string, readonly string[]>, model?: string): string {
  const result = bucketsFor([of], facts(headers, model));
  assert('buckets' in result);
  return result.buckets[0]!.key;
}

test('different values of a key never share a bucket, whatever they contain', () => {
  const value = fc.string({
    unit: fc.constantFrom('|', '\\', 'a', 's', ' ', 'shared', '\u0000'),
    minLength: 1,
    maxLength: 6,
  });
  const tuple = fc.tuple(value, value, value);
  fc.assert(
    fc.property(tuple, tuple, fc.constantFrom(twoParts, shared), (one, other, of) => {
      const [a, b] = [one, other].map(([team, model, user]) =>
        keyOf(of, { 'x-team': [team], 'x-user': [user] }, model),
      );
      assert.equal(a === b, JSON.stringify(one) === JSON.stringify(other));
      assert.notEqual(a, keyOf(shared, {}));
      assert.notEqual(a, keyOf({ ...of, id: `${of.id}|a` }, { 'x-team': [one[0]], 'x-user': [one[2]] }, one[1]));
    }),
    fuzzRuns(1000),
  );
});

test('a missing, empty or repeated header follows onMissingKey', () => {
  const cases = [
    [{ 'x-team': ['a'] }, 'missing'],
    [{ 'x-team': ['a'], 'x-user': [''] }, 'empty'],
    [{ 'x-team': ['a'], 'x-user': ['b', 'c'] }, 'several'],
  ] as const;
  for (const [headers, why] of cases) {
    const result = bucketsFor([twoParts], facts(headers));
    assert('missing' in result);
    assert.equal(result.missing.why, why);
    assert.deepEqual(result.missing.part, { type: 'Header', name: 'x-user' });
    assert.equal(keyOf(shared, headers, 'one'), keyOf(shared, {}, 'other'));
  }
});

test('long values and credentials are hashed', () => {
  const long = keyOf(twoParts, { 'x-team': ['t'.repeat(100_000)], 'x-user': ['u'] }, 'm'.repeat(10_000));
  assert(long.length < 300);
  assert.notEqual(long, keyOf(twoParts, { 'x-team': ['t'.repeat(100_001)], 'x-user': ['u'] }, 'm'.repeat(10_000)));
  const byKey = quota('Requests', 1, { key: [{ type: 'Header', name: 'authorization' }] });
  const result = bucketsFor([byKey], facts({ authorization: ['Bearer secret'] }));
  assert('buckets' in result);
  assert(!JSON.stringify(result.buckets).includes('secret'));
});

test('a quota that is attached twice is drawn once', () => {
  const result = bucketsFor([twoParts, twoParts], facts({ 'x-team': ['a'], 'x-user': ['b'] }));
  assert('buckets' in result);
  assert.equal(result.buckets.length, 1);
});
