import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hidesReasoning, thinksByDefault } from './reasoning.ts';

test('a name tells the same before and after many other names', () => {
  const facts = () => [
    hidesReasoning('openai/o3-mini'),
    hidesReasoning('gpt-4o-mini'),
    hidesReasoning('gpt-5.2', true),
    hidesReasoning('gpt-5', true),
    hidesReasoning(`o3-${'x'.repeat(1_000)}`),
    thinksByDefault('us.anthropic.claude-opus-5'),
    thinksByDefault('claude-opus-4'),
  ];
  const expected = [true, false, false, true, true, true, false];
  assert.deepEqual(facts(), expected);
  assert.deepEqual(facts(), expected);
  for (let nth = 0; nth < 2_500; nth++) {
    assert.equal(hidesReasoning(`o3-${nth}`), true);
    assert.equal(hidesReasoning(`gpt-4o-${nth}`), false);
  }
  assert.deepEqual(facts(), expected);
});
