/**
 * Policies with wrong values anywhere, and damaged texts of policies: each is refused by name, or
 * can be compiled and asked, and then no request of any kind meets a fault or leaves a hold.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { policyText } from '../../contract/policy-text.ts';
import { fuzz } from '../../tools/fuzz/cases.ts';
import type { Random } from '../../tools/fuzz/random.ts';
import { counts } from '../quota/testing.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from '../session/testing.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { compilePolicy } from './compile.ts';
import { newPolicyReader, PolicyError } from './read.ts';

await loadEncodings();

const policy: GatewayPolicy = { formatVersion: 6, version: 'fuzz', ...basePolicy };
const NOTHING: ReadonlyMap<string, string> = new Map();
const BODY = Buffer.from(
  JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 9, messages: [{ role: 'user', content: 'Hello' }] }),
);
const ANSWER = Buffer.from(
  JSON.stringify({
    choices: [{ index: 0, message: { content: ' cat' } }],
    usage: { prompt_tokens: 9, completion_tokens: 1 },
  }),
);

function wrong(random: Random): unknown {
  return random.pick([
    null,
    true,
    -1,
    0,
    1,
    1.5,
    1e308,
    2 ** 53,
    'x',
    '',
    '*',
    '**',
    'Requests',
    'Hour',
    'Lifetime',
    'default/teams/tokens',
    '^(a+)+$',
    '(',
    'x'.repeat(300),
    [],
    {},
    [null],
    [[]],
    { type: 'Sliding', durationMs: 1 },
    { type: 'Model' },
    { __proto__: 1 },
  ]);
}

/** The same with a few places changed: another value, one member less, one more. */
function spoilt(random: Random, value: unknown, chance: number): unknown {
  if (random.next() < chance) {
    return wrong(random);
  }
  if (Array.isArray(value)) {
    const items = value.map((one) => spoilt(random, one, chance));
    return random.next() < chance ? [...items, ...items] : items;
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  const members = Object.entries(value)
    .filter(() => random.next() >= chance / 2)
    .map(([name, one]) => [name, spoilt(random, one, chance)]);
  return Object.fromEntries(
    random.next() < chance ? [...members, [random.pick(['x', 'type', 'name']), wrong(random)]] : members,
  );
}

function spoiltText(random: Random): Buffer {
  const chance = random.pick([0.002, 0.01, 0.05]);
  const text = policyText(policy).toString();
  const lines = text
    .split('\n')
    .map((line) => (line === '' ? line : JSON.stringify(spoilt(random, JSON.parse(line), chance))));
  if (random.next() < 0.1) {
    lines.splice(random.between(0, lines.length - 1), random.between(1, 3));
  }
  if (random.next() < 0.1) {
    lines.reverse();
  }
  const bytes = Buffer.from(lines.join('\n'));
  for (let changes = random.next() < 0.2 ? random.between(1, 4) : 0; changes > 0; changes -= 1) {
    bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
  }
  return bytes;
}

async function run(random: Random): Promise<void> {
  let read: GatewayPolicy;
  try {
    read = await newPolicyReader().read(spoiltText(random));
    compilePolicy(read);
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.ok(error instanceof PolicyError || /^the policy/.test(error.message), `${error.name}: ${error.message}`);
    return;
  }
  const rig = newRig({ policy: read });
  const handler = rig.open(newExchange());
  handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
  handler.requestBody(BODY, true);
  if (rig.records.length === 0) {
    handler.responseHeaders(
      [
        [':status', '200'],
        ['content-type', 'application/json'],
      ],
      false,
      NOTHING,
    );
    handler.responseBody(ANSWER, true);
  }
  handler.closed(true);
  assert.deepEqual(rig.faults, []);
  assert.equal(rig.records.length, 1);
  assert.equal(counts(rig.store).openHolds, 0);
  rig.store.close();
}

test('policies', () => fuzz(4_000, run));
