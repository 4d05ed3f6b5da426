import assert from 'node:assert/strict';
import { it } from 'node:test';
import { geminiUsage } from './usage.ts';

it('thoughts are output, and prompts of tools are input', () => {
  const told = { promptTokenCount: 10, toolUsePromptTokenCount: 4, candidatesTokenCount: 3, thoughtsTokenCount: 5 };
  const usage = geminiUsage(told);
  assert.deepEqual([usage?.input, usage?.output, usage?.reasoningOutput], [14, 8, 5]);
});

it('what only the total has is output', () => {
  const usage = geminiUsage({ promptTokenCount: 10, candidatesTokenCount: 3, totalTokenCount: 20 });
  assert.deepEqual([usage?.input, usage?.output], [10, 10]);
});

it('more cached tokens than the prompt has are not believed', () => {
  const usage = geminiUsage({ promptTokenCount: 10, cachedContentTokenCount: 11, totalTokenCount: 10 });
  assert.deepEqual([usage?.input, usage?.cachedInput], [10, 10]);
});

it('an object without counts is no usage', () => {
  assert.equal(geminiUsage({ trafficType: 'ON_DEMAND' }), undefined);
  assert.equal(geminiUsage(undefined), undefined);
});
