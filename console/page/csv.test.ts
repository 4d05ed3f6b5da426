import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import { csvLine } from './csv.ts';
import { spendCsv } from './spend-csv.ts';

test('a line of CSV quotes separators, and no spreadsheet runs a cell', () => {
  assert.equal(csvLine(['a,b', 'say "hi"', 'two\nlines', 1.5]), '"a,b","say ""hi""","two\nlines",1.5\r\n');
  for (const start of ['=', '+', '-', '@', '\t', '\r', '\n', ' =', '＝', '＠']) {
    assert.match(csvLine([`${start}cmd|' /C calc'!A0`]), /^"?'/, JSON.stringify(start));
  }
  assert.equal(csvLine(['gpt-4o-mini', 'a=b', '']), 'gpt-4o-mini,a=b,\r\n');
});

test('spend as CSV is sorted by time, with a column of cost for each currency', () => {
  const tokens = { inputTokens: 10, outputTokens: 2, cachedInputTokens: 4, cacheWriteInputTokens: 0 };
  const row = (day: string, tenant: string, cost: Readonly<Record<string, string>>): UsageSums => ({
    group: { day, tenant },
    requests: 1,
    ...tokens,
    reasoningOutputTokens: 1,
    cost,
  });
  const rows = [row('2026-11-28', '=red', { USD: '0.5' }), row('2026-11-27', '', { EUR: '0.000001' })];
  assert.deepEqual(spendCsv(rows, 'day', 'tenant').split('\r\n'), [
    'day,tenant,requests,input,cached,output,reasoning,cost EUR,cost USD',
    '2026-11-27,,1,10,4,2,1,0.000001,0',
    "2026-11-28,'=red,1,10,4,2,1,0,0.5",
    '',
  ]);
});
