import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { columnsOf } from '../terminal/text.ts';
import { plainText, screenLines } from './screen.ts';
import { STREAMS_SECTION, sectionsOf, shownAge, shownAmount, shownNumber } from './sections.ts';
import type { TopSnapshot } from './snapshot.ts';

const timeMs = Date.UTC(2026, 10, 22, 12, 0, 5);
const ESC = '\u001b';

function sums(tenant: string, requests: number, cost: Readonly<Record<string, string>>): UsageSums {
  return {
    group: { tenant },
    requests,
    inputTokens: requests * 2031,
    outputTokens: requests * 233,
    cachedInputTokens: 0,
    cacheWriteInputTokens: 0,
    reasoningOutputTokens: 0,
    cost,
  };
}

const bounded = <Row>(rows: readonly Row[], total = rows.length) => ({ rows, total });

const empty: TopSnapshot = {
  timeMs,
  by: 'tenant',
  spend: bounded([]),
  budgets: bounded([]),
  streams: bounded([]),
  refusals: bounded([]),
  backends: bounded([]),
};

const stream = {
  id: '1',
  requestId: '0fbed3a3',
  tenant: 'acme',
  user: 'ada',
  model: 'gpt-4o',
  backend: 'default/openai',
  stream: true,
  startedAt: '2026-11-22T11:58:00.000Z',
  firstTokenMs: 250,
  inputTokens: 412,
  outputTokens: 903,
  heldTokens: 1454,
  cost: '0.0123',
  currency: 'USD',
};

const resetAt = '2026-11-23T00:00:00.000Z';
const busy: TopSnapshot = {
  ...empty,
  spend: bounded([
    { name: 'acme', today: sums('acme', 4120, { USD: '17.5', EUR: '0.25' }), hour: sums('acme', 97, { USD: '1.5' }) },
    { name: '東京支社', today: sums('東京支社', 12, {}) },
    { name: `${ESC}[2J${ESC}]0;owned\u0007`, today: sums('', 1, { USD: '0.000123' }) },
  ]),
  budgets: bounded([
    {
      quota: 'default/teams/day',
      key: ['acme'],
      keyNames: ['Tenant'],
      window: 'day',
      spent: '95.10',
      held: '1.20',
      limit: '100.00',
      currency: 'USD',
      resetAt,
      exhaustedAt: '2026-11-22T13:10:00.000Z',
    },
    {
      quota: 'default/teams/tokens',
      key: ['acme', 'ada'],
      keyNames: [],
      window: 'day',
      spent: 12,
      held: 0,
      limit: 1e6,
      resetAt,
    },
    { quota: 'default/trial/once', key: [], keyNames: [], window: 'none', spent: 500, held: 0, limit: 500 },
  ]),
  streams: bounded([stream, { ...stream, id: '2', user: 'eve', firstTokenMs: undefined as never, stream: false }]),
  refusals: bounded([
    {
      time: '2026-11-22T11:59:58.120Z',
      requestId: 'r9',
      decision: 'refused',
      status: 429,
      tenant: 'acme',
      model: 'gpt-4o',
      reason: 'spent',
      quota: 'default/teams/day',
      message: 'The budget default/teams/day of acme is spent; it resets at midnight UTC.',
    },
  ]),
  backends: bounded([
    { backend: 'default/openai', rests: [] },
    {
      backend: 'default/anthropic',
      rests: [{ cause: 'RateLimited', until: '2026-11-22T12:01:00.000Z', model: 'claude' }],
    },
  ]),
};

const many: TopSnapshot = {
  ...busy,
  streams: bounded(
    Array.from({ length: 200 }, (_, nth) => ({ ...stream, user: `u${nth}` })),
    950,
  ),
};

function screen(snapshot: TopSnapshot, columns: number, rows: number, more: object = {}, colored = false) {
  const view = { sections: sectionsOf(snapshot), title: 'tallygate top', selected: 0, row: 0, ...more };
  return screenLines(view, { columns, rows }, colored);
}

const inStreams = { selected: STREAMS_SECTION };
const screens = {
  '80x24': screen(busy, 80, 24),
  '120x40': screen(busy, 120, 40, { selected: STREAMS_SECTION, row: 1 }),
  '40x16-narrow': screen(busy, 40, 16, { selected: 1 }),
  '80x24-empty': screen(empty, 80, 24),
  '100x24-many': screen(many, 100, 24, { ...inStreams, row: 120, message: 'the request was stopped' }),
};

for (const [name, lines] of Object.entries(screens)) {
  test(`the screen ${name} looks as before`, () => {
    const file = new URL(`testdata/${name}.txt`, import.meta.url);
    const shown = `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1') {
      writeFileSync(file, shown);
    }
    assert.equal(shown, readFileSync(file, 'utf8'));
  });
}

test('every size is filled and never exceeded, whatever is selected', () => {
  for (const snapshot of [busy, empty, many]) {
    for (const [columns, rows] of [
      [1, 1],
      [2, 3],
      [9, 4],
      [20, 6],
      [33, 11],
      [80, 17],
      [300, 90],
    ] as const) {
      for (const selected of [0, 1, 2, 3, 4]) {
        const lines = screen(snapshot, columns, rows, { selected, row: 1 });
        assert.equal(lines.length, rows);
        assert.deepEqual(
          lines.filter((line) => columnsOf(line) > columns || /[\p{Cc}\p{Cf}]/u.test(line)),
          [],
        );
      }
    }
  }
});

/** The fields that clients, providers and clusters fill. */
const NAMES = new Set([
  'name',
  'tenant',
  'user',
  'model',
  'backend',
  'quota',
  'reason',
  'message',
  'currency',
  'gateway',
]);

test('whatever the names are, each line fits into 60 columns and is printable', () => {
  const characters = [
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'binary-ascii' }),
  ];
  const names = fc.oneof(
    ...characters,
    fc.constantFrom('\ud800', '\u200f\u202e', '\u009b31m', '\r\n', '東'.repeat(200)),
  );
  fc.assert(
    fc.property(names, fc.integer({ min: 0, max: 4 }), fc.boolean(), (name, selected, colored) => {
      const snapshot = JSON.parse(JSON.stringify({ ...busy, gateways: { total: 1, problems: [] } }), (key, value) =>
        NAMES.has(key) ? name : value,
      ) as TopSnapshot;
      const lines = screen(snapshot, 60, 30, { selected, title: name, message: name }, colored);
      for (const line of lines) {
        const text = line.replaceAll(new RegExp(`${ESC}\\[\\d+m`, 'g'), '');
        assert.ok(columnsOf(text) <= 60 && !/[\p{Cc}\p{Cf}\p{Cs}\u2028]/u.test(text), JSON.stringify(line));
      }
    }),
    fuzzRuns(20),
  );
});

test('the selected row is on the screen, also the last one', () => {
  for (const row of [0, 1, 100, 199]) {
    const cursor = screen(many, 100, 24, { ...inStreams, row }).find((line) => line.startsWith('* '));
    assert.ok(cursor?.includes(`acme/u${row} `), cursor);
  }
});

test('colors never carry names of others to the terminal', () => {
  const text = screen(busy, 120, 40, {}, true).join('\n');
  assert.ok(text.includes(`${ESC}[33m`), 'a budget is nearly spent');
  const codes = text.split(ESC).slice(1);
  assert.deepEqual(
    codes.filter((code) => !/^\[\d+m/.test(code)),
    [],
  );
  assert.ok(text.includes('\\u001b[2J\\u001b]0;owned\\u0007'));
});

test('an output that is no terminal gets tables', () => {
  const text = plainText(sectionsOf(many));
  assert.match(text, /^Spend by tenant\nTENANT +REQUESTS /);
  assert.match(text, /\n\nRequests in flight \(200 of 950\)\nFOR /);
  assert.ok(!text.includes(ESC));
  assert.match(plainText(sectionsOf(empty)), /^Spend by tenant\nNo usage is recorded today\.\n\nBudgets\n/);
});

test('numbers are short', () => {
  assert.deepEqual([0, 0.25, 1315, 99_999, 812_003, 1_234_567, 2e9, 5e12].map(shownNumber), [
    '0',
    '0.3',
    '1315',
    '99999',
    '812k',
    '1.23M',
    '2G',
    '5000G',
  ]);
  assert.deepEqual(
    [shownAmount('0.00012', 'USD'), shownAmount('1234.5', 'USD'), shownAmount(12, undefined)],
    ['0.0001 USD', '1234.50 USD', '12'],
  );
  assert.deepEqual([-5, 999, 59_000, 125_000, 3_725_000].map(shownAge), ['0s', '0s', '59s', '2m05s', '1h02m']);
});
