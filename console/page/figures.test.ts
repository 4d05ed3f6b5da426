import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import type { BackendState, BudgetRow, LiveStream, RefusedRequest } from '../api/source.ts';
import { type Figure, figuresOf, type PageAnswers } from './figures.ts';

const nowMs = Date.parse('2026-11-28T12:00:00Z');

function answer<Row>(...rows: readonly Row[]) {
  return { rows, total: rows.length };
}

const none: PageAnswers = {
  today: answer<UsageSums>(),
  budgets: answer<BudgetRow>(),
  streams: answer<LiveStream>(),
  refusals: answer<RefusedRequest>(),
  backends: answer<BackendState>(),
};

function said(answers: Partial<PageAnswers>): Readonly<Record<string, Omit<Figure, 'name'>>> {
  return Object.fromEntries(figuresOf({ ...none, ...answers }, nowMs).map(({ name, ...rest }) => [rest.section, rest]));
}

function sums(cost: Readonly<Record<string, string>>): UsageSums {
  const tokens = { inputTokens: 1_000, outputTokens: 500, cachedInputTokens: 7, cacheWriteInputTokens: 0 };
  return { group: { day: '2026-11-28' }, requests: 1, ...tokens, reasoningOutputTokens: 9, cost };
}

const budget: BudgetRow = {
  quota: 'default/teams/cost',
  key: ['red'],
  keyNames: ['Tenant'],
  window: 'Month',
  spent: '89.5',
  held: '0.5',
  limit: '100',
  currency: 'USD',
};

const refusal = (time: string, reason: string) => ({ time, reason, requestId: 'r' }) as RefusedRequest;

test('the summary adds up the spend of today in each currency, or else in tokens', () => {
  const { spend } = said({ today: answer(sums({ USD: '1.5', EUR: '2' }), sums({ USD: '0.25' })) });
  assert.deepEqual([spend?.value, spend?.note], ['2.00 EUR + 1.75 USD', '3,000 tokens, 2 requests']);
  const unpriced = said({ today: answer(sums({})) })['spend'];
  assert.deepEqual([unpriced?.value, unpriced?.note], ['1,500 tokens', '1 request']);
});

test('the summary warns of a budget that is 90 % spent or held, and of a backend that rests', () => {
  const rests = [{ cause: 'errors', until: '2026-11-28T12:01:00Z' }];
  const { budgets, backends } = said({
    budgets: answer(budget, { ...budget, spent: '1' }),
    backends: answer<BackendState>({ backend: 'default/a', rests: [] }, { backend: 'default/b', rests }),
  });
  assert.deepEqual([budgets?.value, budgets?.note, budgets?.isLate], ['90 %', 'Tenant red, default/teams/cost', true]);
  assert.deepEqual([backends?.value, backends?.note, backends?.isLate], ['1', 'default/b', true]);
  assert.equal(said({ budgets: answer({ ...budget, held: '0.4' }) })['budgets']?.isLate, false);
});

test('the summary counts the refusals of one hour, with the most frequent reason', () => {
  const rows = [
    refusal('2026-11-28T11:59:00Z', 'model_not_allowed'),
    refusal('2026-11-28T11:30:00Z', 'quota_exceeded'),
    refusal('2026-11-28T11:00:00Z', 'quota_exceeded'),
    refusal('2026-11-28T10:59:59Z', 'model_not_allowed'),
  ];
  const { refusals } = said({ refusals: answer(...rows) });
  assert.deepEqual([refusals?.value, refusals?.note], ['3', 'most: quota_exceeded']);
  const many = Array.from({ length: 100 }, () => rows[0]!);
  assert.equal(said({ refusals: answer(...many) })['refusals']?.value, '100 or more');
});

test('the summary of an idle gateway says so, and before its answers nothing', () => {
  assert.deepEqual(
    figuresOf(none, nowMs).map(({ value }) => value),
    ['0 tokens', '–', '0', '0', '0'],
  );
  const waiting = { today: undefined, budgets: undefined, streams: undefined, refusals: undefined };
  assert.ok(figuresOf({ ...waiting, backends: undefined }, nowMs).every(({ value }) => value === '…'));
});
