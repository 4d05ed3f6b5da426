import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RestCause } from '../../contract/backend-rest.ts';
import { type BeginningRest, PassiveHealth } from './passive-health.ts';

const NOW = Date.UTC(2026, 10, 27, 12);
const MODEL = 'gpt-4o';

/** Two rules of different authors use the backend `shared/azure`. */
const ours = { id: 'red/chat/main/azure/secret-of-ours', backend: 'shared/azure' };
const theirs = { id: 'blue/chat/main/azure/secret-of-theirs', backend: 'shared/azure' };
const other = { id: 'red/chat/main/openai/another-secret', backend: 'red/openai' };
const known = new Map([ours, theirs, other].map(({ id, backend }) => [id, backend]));

interface Replica {
  readonly health: PassiveHealth;
  /** What it told other replicas. */
  readonly told: { readonly name: string; readonly forMs: number }[];
}

function newReplica(): Replica {
  const health = new PassiveHealth();
  health.keepOnly(known);
  const told: Replica['told'] = [];
  health.tellReplicas((name, forMs) => told.push({ name, forMs }));
  return { health, told };
}

/** Returns what a second replica leaves out after the first one saw this. */
function learned(rest: Omit<BeginningRest, 'target'>, before: (other: PassiveHealth) => void = () => {}) {
  const [one, two] = [newReplica(), newReplica()];
  before(two.health);
  one.health.rest({ target: ours, ...rest }, NOW);
  two.health.learn(one.told, NOW);
  return [ours, theirs, other].filter((each) => two.health.restsUntil(each, MODEL, NOW) !== undefined);
}

const limited = (model: string | undefined): Omit<BeginningRest, 'target'> => ({
  ms: 60_000,
  cause: 'RateLimited',
  everyRule: { model, ms: 60_000 },
});

describe('a target that rests', () => {
  it('is left out although a request in flight succeeds, until its time is over', () => {
    const { health } = newReplica();
    health.rest({ target: ours, ms: 1000, cause: '5xx' }, NOW);
    health.rest({ target: ours, ms: 10, cause: '5xx' }, NOW);
    health.saw(ours.id, true, NOW);
    assert.equal(health.restsUntil(ours, MODEL, NOW + 999), NOW + 1000);
    assert.equal(health.restsUntil(theirs, MODEL, NOW), undefined);
    assert.equal(health.restsUntil(ours, MODEL, NOW + 1000), undefined);
  });

  it('is forgotten with the policy, and so is an end that a wrong clock has set', () => {
    const { health } = newReplica();
    health.rest({ target: ours, ...limited(undefined) }, NOW);
    assert.equal(health.restsUntil(ours, MODEL, NOW - 5000), undefined);
    health.rest({ target: ours, ...limited(undefined) }, NOW);
    health.keepOnly(new Map());
    assert.equal(health.restsUntil(ours, MODEL, NOW), undefined);
    assert.deepEqual(health.resting(NOW), []);
  });

  it('rests for the other rules only with the model that the provider limits', () => {
    const { health } = newReplica();
    health.rest({ target: ours, ...limited(MODEL) }, NOW);
    assert.equal(health.restsUntil(theirs, MODEL, NOW), NOW + 60_000);
    assert.equal(health.restsUntil(theirs, 'gpt-4o-mini', NOW), undefined);
    assert.equal(health.restsUntil({ ...theirs, model: MODEL }, 'best', NOW), NOW + 60_000);
    assert.equal(health.restsUntil(other, MODEL, NOW), undefined);
  });
});

describe('another replica', () => {
  it('learns what rests for one rule and what rests for all', () => {
    assert.deepEqual(learned({ ms: 1000, cause: '5xx' }), [ours]);
    assert.deepEqual(learned(limited(MODEL)), [ours, theirs]);
    assert.deepEqual(learned({ ...limited(undefined), cause: 'ConnectFailure' }), [ours, theirs]);
  });

  it('learns of several failures in a row', () => {
    const [one, two] = [newReplica(), newReplica()];
    for (let failures = 0; failures < 3; failures++) {
      assert.deepEqual(one.told, []);
      one.health.saw(ours.id, false, NOW);
    }
    two.health.learn(one.told, NOW);
    assert.equal(two.health.restsUntil(ours, MODEL, NOW), NOW + 10_000);
  });

  it('believes its own success more than what another saw, and the provider more than both', () => {
    const succeeded = (health: PassiveHealth) => health.saw(ours.id, true, NOW - 5_000);
    const long = (health: PassiveHealth) => health.saw(ours.id, true, NOW - 10_000);
    for (const cause of ['5xx', 'ConnectFailure', 'FirstTokenTimeout', 'OutlierDetection'] as const) {
      const rest = { ...limited(undefined), cause };
      assert.deepEqual(learned(rest, succeeded), [], cause);
      assert.deepEqual(learned(rest, long), [ours, theirs], cause);
    }
    for (const cause of ['RateLimited', 'RateLimitSpent'] as const) {
      assert.deepEqual(learned({ ...limited(MODEL), cause }, succeeded), [ours, theirs], cause);
    }
  });

  it('does not learn the part of an id that cannot be guessed', () => {
    const { health, told } = newReplica();
    health.rest({ target: ours, ...limited(MODEL) }, NOW);
    assert.equal(told.length, 2);
    assert.doesNotMatch(JSON.stringify(told), /secret/);
  });

  it('leaves out what it does not know or cannot read, and bounds the rest', () => {
    const { health } = newReplica();
    const names = [
      ['Backend', '5xx', 'unknown/backend'],
      ['Target', '5xx', 'unknown/route/rule/backend'],
      ['Backend', 'Later', 'shared/azure'],
      ['Model', 'RateLimited', 'shared/azure'],
      ['Planet', '5xx', 'shared/azure'],
      ['Backend', '5xx', 7],
    ].map((parts) => JSON.stringify(parts));
    const garbled = [...names, '', '{}', '[', `["Backend","5xx","${'x'.repeat(3_000)}"]`];
    health.learn(
      garbled.map((name) => ({ name, forMs: 1000 })),
      NOW,
    );
    const name = JSON.stringify(['Backend', 'RateLimited', 'shared/azure']);
    health.learn(
      [-1, 0, Number.NaN].map((forMs) => ({ name, forMs })),
      NOW,
    );
    assert.deepEqual(health.resting(NOW), []);
    health.learn([{ name, forMs: Number.MAX_SAFE_INTEGER }], NOW);
    assert.equal(health.restsUntil(theirs, MODEL, NOW), NOW + 3_600_000);
  });
});

it('reports what rests, for which rule or model, why and until when', () => {
  const { health } = newReplica();
  health.rest({ target: ours, ...limited(MODEL) }, NOW);
  for (let failures = 0; failures < 3; failures++) {
    health.saw(other.id, false, NOW);
  }
  const cause: RestCause = 'RateLimited';
  assert.deepEqual(health.resting(NOW), [
    { backend: 'shared/azure', model: MODEL, cause, untilMs: NOW + 60_000 },
    { backend: 'shared/azure', rule: 'red/chat/main', cause, untilMs: NOW + 60_000 },
    { backend: 'red/openai', rule: 'red/chat/main', cause: 'OutlierDetection', untilMs: NOW + 10_000 },
  ]);
  assert.deepEqual(health.resting(NOW + 60_000), []);
});
