import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SumCell } from '../../runtime/metric-table.ts';
import { failure } from '../errors.ts';
import type { RequestRecord } from '../record.ts';
import { accessLine } from './access-line.ts';
import { newRecorder } from './recorder.ts';
import { outcomeOfStream } from './testing.ts';

function recordOf(tenant: string | undefined): RequestRecord {
  const caller = { tenant, user: 'ada', groups: ['engineering'], apiKey: 'default/key-ada', claim: () => undefined };
  return { ...outcomeOfStream, access: { decision: 'admitted', caller, method: 'api_key', group: 'engineering' } };
}

function cellsOf(name: string, records: readonly RequestRecord[], hashesKeys = false): readonly SumCell[] {
  const recorder = newRecorder({ nowMs: 0, hashesKeys });
  for (const record of records) {
    recorder.record(record, []);
  }
  const found = recorder.table.collect().find(({ description }) => description.name === name);
  return (found?.cells ?? []) as readonly SumCell[];
}

test('decisions are counted by method and code', () => {
  const refused: RequestRecord = {
    ...outcomeOfStream,
    failure: failure('unauthenticated', ''),
    access: { decision: 'refused', caller: undefined, method: undefined, group: undefined },
  };
  assert.deepEqual(
    cellsOf('tallygate.access.decisions', [recordOf('search'), refused, recordOf('ads'), outcomeOfStream]),
    [
      { attributes: { 'tallygate.decision': 'admitted', 'tallygate.access.method': 'api_key' }, value: 2 },
      { attributes: { 'tallygate.decision': 'refused', 'error.type': 'unauthenticated' }, value: 1 },
    ],
  );
});

test('tokens are counted by tenant, whose name may be hidden', () => {
  const [input, output] = cellsOf('tallygate.tenant.tokens', [
    recordOf('search'),
    recordOf('search'),
    recordOf(undefined),
  ]);
  const { input: inputTokens, output: outputTokens } = outcomeOfStream.usage!;
  assert.deepEqual(
    [input?.attributes, input?.value, output?.value],
    [{ 'tallygate.tenant': 'search', 'gen_ai.token.type': 'input' }, 2 * inputTokens, 2 * outputTokens],
  );
  const [hidden] = cellsOf('tallygate.tenant.tokens', [recordOf('search')], true);
  assert.match(String(hidden?.attributes['tallygate.tenant']), /^sha256:[\w-]{43}$/);
  const [long] = cellsOf('tallygate.tenant.tokens', [recordOf('a'.repeat(129))]);
  assert.match(String(long?.attributes['tallygate.tenant']), /^sha256:/);
});

test('cost is counted by tenant and currency', () => {
  const costs = [
    { nanos: 1_500_000_000, currency: 'USD', catalog: undefined },
    { nanos: 500_000_000, currency: 'USD', catalog: undefined },
    { nanos: 2_000_000_000, currency: 'EUR', catalog: undefined },
    undefined,
  ];
  assert.deepEqual(
    cellsOf(
      'tallygate.tenant.cost',
      costs.map((cost) => ({ ...recordOf('search'), cost })),
    ),
    [
      { attributes: { 'tallygate.tenant': 'search', 'tallygate.currency': 'USD' }, value: 2 },
      { attributes: { 'tallygate.tenant': 'search', 'tallygate.currency': 'EUR' }, value: 2 },
    ],
  );
});

test('the number of tenants in metrics is limited', () => {
  const records = Array.from({ length: 1500 }, (_, index) => recordOf(`tenant-${index}`));
  const cells = cellsOf('tallygate.tenant.tokens', records);
  assert.equal(cells.length, 2001);
  assert.ok(cells.some(({ attributes }) => attributes['otel.metric.overflow'] === true));
});

test('an access line names the caller', () => {
  const { caller } = JSON.parse(accessLine(recordOf('search'), []));
  assert.deepEqual(caller, {
    decision: 'admitted',
    method: 'api_key',
    tenant: 'search',
    user: 'ada',
    group: 'engineering',
    apiKey: 'default/key-ada',
  });
});
