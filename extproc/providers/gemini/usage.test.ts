import assert from 'node:assert/strict';
import { it } from 'node:test';
import { geminiTier, geminiUsage } from './usage.ts';

function usageOf(counts: Readonly<Record<string, number>>) {
  return geminiUsage({ get: (path) => counts[path] });
}

it('thoughts are output, and prompts of tools are input', () => {
  const usage = usageOf({
    promptTokenCount: 10,
    toolUsePromptTokenCount: 4,
    candidatesTokenCount: 3,
    thoughtsTokenCount: 5,
    totalTokenCount: 22,
  });
  assert.deepEqual([usage?.input, usage?.output, usage?.reasoningOutput], [14, 8, 5]);
});

it('what only the total has is output', () => {
  const usage = usageOf({ promptTokenCount: 10, candidatesTokenCount: 3, totalTokenCount: 20 });
  assert.deepEqual([usage?.input, usage?.output], [10, 10]);
});

it('more cached tokens than the prompt has are not believed', () => {
  const usage = usageOf({ promptTokenCount: 10, cachedContentTokenCount: 11, totalTokenCount: 10 });
  assert.deepEqual([usage?.input, usage?.cachedInput], [10, 10]);
});

it('an object without counts is no usage', () => {
  assert.equal(usageOf({}), undefined);
});

it('the tier of a response has the name of the prices', () => {
  const told = [
    geminiTier('SERVICE_TIER_FLEX', undefined),
    geminiTier('priority', undefined),
    geminiTier(undefined, 'ON_DEMAND_PRIORITY'),
    geminiTier(undefined, 'ON_DEMAND'),
    geminiTier('unspecified', 'PROVISIONED_THROUGHPUT'),
  ];
  assert.deepEqual(told, ['flex', 'priority', 'priority', 'standard', undefined]);
});
