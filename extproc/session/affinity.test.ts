import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import type { BackendPolicy, ProviderApi } from '../../contract/policy.ts';
import type { CompiledTarget } from '../policy/compile.ts';
import { chooseTarget } from './routing.ts';

const KEYS = Array.from({ length: 10_000 }, (_, index) => `\0session\0${index}`);
const WEIGHTS = { one: 5, two: 3, three: 2 };

function target(name: string, weight: number, more: Partial<CompiledTarget> = {}): CompiledTarget {
  const schema: ProviderApi = 'OpenAI';
  const backendPolicy: BackendPolicy = { name, schema, tokenizer: { encoding: 'Auto' }, models: [] };
  return { id: `rule/${name}`, backend: name, weight, priority: 0, backendPolicy, ...more };
}

const targets = Object.entries(WEIGHTS).map(([name, weight]) => target(name, weight));

function chosen(from: readonly CompiledTarget[], key: string, resting: readonly string[] = []): string | undefined {
  const restsUntil = ({ id }: CompiledTarget) => (resting.includes(id) ? 1 : undefined);
  return chooseTarget(
    from,
    ({ backendPolicy: { schema } }) => schema === 'OpenAI',
    () => true,
    restsUntil,
    0,
    () => key,
  )?.backend;
}

function assertWeights(choices: readonly (string | undefined)[], weights: Readonly<Record<string, number>>): void {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  for (const [name, weight] of Object.entries(weights)) {
    const share = weight / total;
    const deviation = Math.sqrt((share * (1 - share)) / choices.length);
    const found = choices.filter((choice) => choice === name).length / choices.length;
    assert.ok(Math.abs(found - share) < 5 * deviation, `${name} has ${found} instead of ${share}`);
  }
}

const before = KEYS.map((key) => chosen(targets, key));

describe('the target of a client session', () => {
  it('is chosen in proportion to the weights', () => {
    assertWeights(before, WEIGHTS);
  });

  it('changes only if it rests, then in proportion to the weights, and returns', () => {
    const meanwhile = KEYS.map((key) => chosen(targets, key, ['rule/one']));
    const moved = meanwhile.filter((_, index) => before[index] === 'one');
    assertWeights(moved, { two: WEIGHTS.two, three: WEIGHTS.three });
    for (const [index, choice] of meanwhile.entries()) {
      assert.ok(before[index] === 'one' || choice === before[index]);
    }
    assert.deepEqual(
      KEYS.map((key) => chosen(targets, key)),
      before,
    );
  });

  it('changes only to a new target, or to one whose weight grows', () => {
    const added = KEYS.map((key) => chosen([target('new', 2), ...targets], key));
    assert.ok(added.every((choice, index) => choice === before[index] || choice === 'new'));
    const grown = targets.map((each) => (each.backend === 'three' ? { ...each, weight: 4 } : each));
    const after = KEYS.map((key) => chosen(grown, key));
    assert.ok(after.every((choice, index) => choice === before[index] || choice === 'three'));
    assertWeights(after, { ...WEIGHTS, three: 4 });
  });

  it('depends neither on the order of the targets nor on their ids', () => {
    const others = targets.toReversed().map((each) => ({ ...each, id: `other/${each.backend}` }));
    assert.deepEqual(
      KEYS.map((key) => chosen(others, key)),
      before,
    );
  });

  it('has the lowest priority number that is healthy, and needs no conversion if possible', () => {
    const [first, second] = [target('first', 1), target('second', 1, { priority: 1 })];
    const foreign = target('foreign', 1000);
    const converted = { ...foreign, backendPolicy: { ...foreign.backendPolicy, schema: 'Anthropic' as const } };
    for (const key of KEYS.slice(0, 50)) {
      assert.equal(chosen([second, converted, first], key), 'first');
      assert.equal(chosen([second, converted, first], key, [first.id]), 'foreign');
      assert.equal(chosen([second, converted, first], key, [first.id, converted.id]), 'second');
    }
  });

  it('is the same in another process', () => {
    const keys = KEYS.slice(0, 500);
    const script = `
      import { chooseTarget } from ${JSON.stringify(import.meta.resolve('./routing.ts'))};
      const { targets, keys } = JSON.parse(process.argv[1]);
      const choice = (key) => chooseTarget(targets, () => true, () => true, () => undefined, 0, () => key).backend;
      console.log(JSON.stringify(keys.map(choice)));`;
    const args = ['--input-type=module', '-e', script, JSON.stringify({ targets, keys })];
    const told = execFileSync(process.execPath, args, { encoding: 'utf8' });
    assert.deepEqual(JSON.parse(told), before.slice(0, keys.length));
  });
});

describe('without an affinity key', () => {
  it('the weights decide', () => {
    const choose = (random: number) =>
      chooseTarget(
        targets,
        () => true,
        () => true,
        () => undefined,
        random,
        () => undefined,
      )?.backend;
    assert.deepEqual([0, 0.49, 0.5, 0.79, 0.8, 0.99].map(choose), ['one', 'one', 'two', 'two', 'three', 'three']);
  });

  it('a single target needs none', () => {
    const key = () => assert.fail('the key is not needed');
    assert.equal(
      chooseTarget(
        [targets[0]!],
        () => true,
        () => true,
        () => undefined,
        0,
        key,
      )?.backend,
      'one',
    );
    const lower = { ...targets[1]!, priority: 1 };
    assert.equal(
      chooseTarget(
        [targets[0]!, lower],
        () => true,
        () => true,
        () => undefined,
        0,
        key,
      )?.backend,
      'one',
    );
  });
});
