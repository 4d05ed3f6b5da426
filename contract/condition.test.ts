import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../tools/fuzz/cases.ts';
import {
  type ConditionFacts,
  conditionFault,
  conditionMatcher,
  MAX_CONDITION_CHARACTERS,
  MAX_GROUPS,
  MAX_GROUPS_CHARACTERS,
} from './condition.ts';

type Changes = Partial<ConditionFacts['request'] & ConditionFacts['caller']>;

function factsWith(changes: Changes = {}): ConditionFacts {
  const { model = 'gpt-4o', endpoint = 'chat', stream = true, maxOutputTokens } = changes;
  const { tenant, user = 'ada', groups = ['engineering', 'batch'] } = changes;
  return { request: { model, endpoint, stream, maxOutputTokens }, caller: { tenant, user, groups } };
}

const evaluations: readonly (readonly [condition: string, facts: Changes, holds: boolean])[] = [
  ['request.maxOutputTokens <= 4096', { maxOutputTokens: 4096 }, true],
  ['request.maxOutputTokens <= 4096', { maxOutputTokens: 4097 }, false],
  ['request.maxOutputTokens <= 4096', {}, false],
  ['request.maxOutputTokens == 9223372036854775807', {}, true],
  ['request.stream && request.endpoint in ["chat", "responses"]', {}, true],
  ['request.model.startsWith("gpt-")', {}, true],
  ['request.model.matches("gpt")', {}, false],
  [String.raw`request.model.matches(r'gpt-\d.')`, {}, true],
  ['"batch" in caller.groups', {}, true],
  ['"Batch" in caller.groups', {}, false],
  ['caller.groups.exists(g, g.matches("team-[a-z]+"))', { groups: ['other', 'team-search'] }, true],
  ['caller.groups.all(g, g.startsWith("team-"))', { groups: ['other', 'team-search'] }, false],
  ['size(caller.groups) == 2 ? caller.user == "ada" : false', {}, true],
];

for (const [condition, changes, holds] of evaluations) {
  test(`${condition} is ${holds} for ${JSON.stringify(changes)}`, () => {
    assert.equal(conditionFault(condition), undefined);
    assert.equal(conditionMatcher(condition)(factsWith(changes)), holds);
  });
}

test('an evaluation that fails does not satisfy the condition', () => {
  for (const condition of [
    'caller.tenant == "search"',
    'caller.tenant != "search"',
    '!(caller.tenant == "search")',
    '1 / 0 == 0',
    'request.maxOutputTokens * 2 > 0',
  ]) {
    assert.equal(conditionFault(condition), undefined, condition);
    assert.equal(conditionMatcher(condition)(factsWith()), false, condition);
  }
  assert.equal(conditionMatcher('has(caller.tenant) || request.stream')(factsWith()), true);
  assert.equal(conditionMatcher('caller.tenant == "search" || request.stream')(factsWith()), true);
});

test('a condition that cannot be evaluated is satisfied where the caller of the matcher says so', () => {
  const matches = conditionMatcher('caller.tenant == "search"', true);
  assert.equal(matches(factsWith()), true);
  assert.equal(matches(factsWith({ tenant: 'search', user: 'a'.repeat(10_000) })), true);
  assert.equal(matches(factsWith({ tenant: 'other', groups: new Array(MAX_GROUPS + 1).fill('g') })), true);
  assert.equal(matches(factsWith({ tenant: 'other' })), false);
});

test('values that are too long satisfy no condition', () => {
  const holds = conditionMatcher('!("contractors" in caller.groups)');
  const name = (length: number) => 'a'.repeat(length);
  assert.equal(holds(factsWith({ groups: Array.from({ length: MAX_GROUPS }, () => 'a') })), true);
  assert.equal(holds(factsWith({ groups: Array.from({ length: MAX_GROUPS + 1 }, () => 'a') })), false);
  assert.equal(holds(factsWith({ groups: [name(MAX_GROUPS_CHARACTERS + 1)] })), false);
  assert.equal(holds(factsWith({ model: name(256) })), true);
  assert.equal(holds(factsWith({ model: name(257) })), false);
  assert.equal(holds(factsWith({ tenant: name(257) })), false);
});

const faults: readonly (readonly [condition: string, message: RegExp, position: number | undefined])[] = [
  ['request.model.', /^is not valid: Expected IDENTIFIER/, 15],
  ['request.tokens == 1', /No such key: tokens/, 9],
  ['headers.foo == "a"', /Unknown variable: headers/, 1],
  ['request.model == 1', /no such overload: string == int/, 1],
  ['request.model', /the result has the type string/, undefined],
  ['request.model.matches(caller.user)', /not a literal/, 23],
  ['request.model.matches("(?=a)")', /regular expression that is not valid/, 23],
  ['request.model.matches("((a{20}){20}){20}")', /regular expression that is too large/, 23],
  ['caller.groups.exists(a, caller.groups.exists(b, a == b))', /quantifier within another/, 25],
  ['request.model + "a" == "b"', /uses \+/, 1],
  ['caller.groups.map(g, g) == caller.groups', /uses map\(\)/, 1],
  ['caller.groups.filter(g, true) == caller.groups', /uses filter\(\)/, 1],
  ['request.model.lowerAscii() == "a"', /uses lowerAscii\(\)/, 1],
  ['caller["__proto__"] == "a"', /uses \[\]/, 1],
  ['caller.constructor == "a"', /No such key: constructor/, 8],
  ['request.stream || {"a": 1} == {"a": 2}', /maxMapEntries/, undefined],
  [`${'('.repeat(200)}true${')'.repeat(200)}`, /maxDepth/, undefined],
  [`request.stream ${'&& true '.repeat(300)}`, /is too long/, undefined],
  [
    Array.from({ length: 40 }, () => 'caller.groups==caller.groups')
      .join('||')
      .slice(0, 1020),
    /./,
    undefined,
  ],
  ['', /^is not valid/, 1],
];

for (const [condition, message, position] of faults) {
  test(`${condition.slice(0, 60) || 'an empty condition'} has a fault`, () => {
    const fault = conditionFault(condition);
    assert.match(fault?.message ?? '', message);
    assert.notEqual(fault?.fix, '');
    if (position !== undefined) {
      assert.equal(fault?.position, position);
    }
    assert.throws(() => conditionMatcher(condition));
  });
}

/** Conditions that cost as much as the estimate lets pass. */
const costly = [
  'caller.groups.exists(g, g.matches("(a+)+b|.*a.*b"))',
  `request.model.matches("${'a?'.repeat(60)}${'a'.repeat(60)}")`,
  'caller.groups.all(g, g in caller.groups)',
  `caller.groups.exists(g, g.contains("${'a'.repeat(128)}b"))`,
  'caller.groups.all(g, g != caller.tenant)',
  Array.from({ length: 30 }, () => 'caller.groups == caller.groups').join('&&'),
];

const longest = factsWith({
  model: 'a'.repeat(256),
  user: 'a'.repeat(256),
  groups: Array.from({ length: MAX_GROUPS }, (_, index) => `${'a'.repeat(28)}${String(index).padStart(4, '0')}`),
});

for (const condition of costly) {
  test(`${condition.slice(0, 50)} does not block the event loop`, () => {
    assert.equal(conditionFault(condition), undefined);
    const holds = conditionMatcher(condition);
    assert.ok(fastest(() => holds(longest)) < 20, condition);
  });
}

test('no accepted condition blocks the event loop', () => {
  const text = fc.constantFrom('request.model', 'caller.user', 'caller.tenant', '"a"', `"${'a'.repeat(40)}b"`);
  const list = fc.constantFrom('caller.groups', '["a", "b"]', '[1, 2]');
  const condition = fc.letrec<{ readonly any: string }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 5 },
      fc.tuple(text, text).map(([left, right]) => `${left} == ${right}`),
      fc.tuple(text, list).map(([left, right]) => `${left} in ${right}`),
      fc.tuple(text, text).map(([left, right]) => `${left}.contains(${right})`),
      text.map((left) => `${left}.matches("(a|aa)*b{0,9}")`),
      fc.tuple(tie('any'), fc.constantFrom('&&', '||', '=='), tie('any')).map((parts) => `(${parts.join(' ')})`),
      fc
        .tuple(list, fc.constantFrom('all', 'exists', 'exists_one', 'map', 'filter'), tie('any'))
        .map(([over, name, inner]) => `${over}.${name}(g, ${inner} || g.matches(".*.*a"))`),
      tie('any').map((inner) => `!(${inner})`),
    ),
  })).any;
  fc.assert(
    fc.property(condition, (made) => {
      if (made.length > MAX_CONDITION_CHARACTERS || conditionFault(made) !== undefined) {
        return;
      }
      const holds = conditionMatcher(made);
      holds(longest);
      assert.ok(fastest(() => holds(longest)) < 20, made);
    }),
    fuzzRuns(300),
  );
});

test('any text is either a condition or has a fault', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'cal.er()[]"\\=<1&|?:') })),
      (made) => {
        if (conditionFault(made) === undefined) {
          conditionMatcher(made)(factsWith());
        }
      },
    ),
    fuzzRuns(500),
  );
});

/**
 * Returns the processor time of the fastest of some runs in milliseconds, so that load on the
 * machine does not matter.
 */
function fastest(run: () => void): number {
  const times = [0, 0, 0].map(() => {
    const before = process.threadCpuUsage();
    run();
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1_000;
  });
  return Math.min(...times);
}
