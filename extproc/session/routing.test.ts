import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BackendPolicy } from '../../contract/policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { nameMatcher } from '../model-names.ts';
import { modelFacts } from './routing.ts';

test('the facts of a model are the first entry that matches its name', () => {
  const name = fc.stringMatching(/^[ab]{1,3}$/);
  const pattern = fc.oneof(name, fc.stringMatching(/^[ab*]{1,3}$/));
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 8 }), name, (patterns, model) => {
      const models = patterns.map((each) => ({ name: each, reasoningTokens: 'Auto' as const }));
      const backend: BackendPolicy = { name: 'b', schema: 'OpenAI', tokenizer: { encoding: 'Auto' }, models };
      assert.equal(
        modelFacts(backend, model),
        models.find((each) => nameMatcher(each.name)(model)),
      );
    }),
    fuzzRuns(500),
  );
});
