import assert from 'node:assert/strict';
import { test } from 'node:test';
import { intersection } from './hostnames.ts';

const cases = [
  ['*', 'a.example.com', 'a.example.com'],
  ['*.example.com', '*', '*.example.com'],
  ['*.example.com', 'a.example.com', 'a.example.com'],
  ['*.example.com', 'a.b.example.com', 'a.b.example.com'],
  ['*.example.com', 'example.com', undefined],
  ['*.example.com', 'badexample.com', undefined],
  ['*.example.com', '*.team.example.com', '*.team.example.com'],
  ['a.example.com', '*.example.com', 'a.example.com'],
  ['a.example.com', 'b.example.com', undefined],
] as const;

for (const [left, right, both] of cases) {
  test(`the intersection of ${left} and ${right} is ${both ?? 'empty'}`, () => {
    assert.equal(intersection(left, right), both);
    assert.equal(intersection(right, left), both);
  });
}
