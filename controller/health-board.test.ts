import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RestReport, readRestReport } from '../contract/backend-rest.ts';
import type { GatewayPolicy } from '../contract/policy.ts';
import { condition } from '../crds/conditions.ts';
import type { ObjectStatus } from '../translate/plan.ts';
import { HealthBoard } from './health-board.ts';
import type { ConnectedSidecar } from './push/sidecar.ts';

const NOW = Date.parse('2026-11-27T12:00:00Z');
const policy = { backends: [{ name: 'app/azure' }, { name: 'app/openai' }] } as unknown as GatewayPolicy;
const limited: RestReport = { backend: 'app/azure', model: 'gpt-4o', cause: 'RateLimited', untilMs: NOW + 60_000 };
const inRule = (nth: number): RestReport => ({
  backend: 'app/azure',
  rule: `app/chat/rule-${nth}`,
  cause: '5xx',
  untilMs: NOW + 30_000,
});

/** A board on what each of the sidecars reports. */
function boardOf(reports: (readonly RestReport[])[]): HealthBoard {
  const sidecars = () => reports.map((rests) => ({ fleet: 'fleet', rests }) as unknown as ConnectedSidecar);
  return new HealthBoard({ sidecars }, { policy: () => policy });
}

function status(name: string, kind = 'AIBackend', accepted: 'Accepted' | 'Invalid' = 'Accepted'): ObjectStatus {
  const object = { group: 'tallygate.dev', kind, namespace: 'app', name };
  return { object, conditions: [condition('Accepted', accepted, '', 3)] };
}

function shown(board: HealthBoard, of = status('azure')) {
  const own = board.withHealth(of).conditions?.find(({ type }) => type === 'Healthy');
  return own && [own.status, own.reason, own.message];
}

test('a backend is healthy until a proxy leaves it out, and the message says until when and why', () => {
  const reports: (readonly RestReport[])[] = [[], [], []];
  const board = boardOf(reports);
  assert.equal(shown(board), undefined);
  assert.equal(board.renew(NOW), true);
  assert.deepEqual(shown(board), ['True', 'Healthy', 'no proxy leaves the backend out']);
  reports[0] = [limited, inRule(1)];
  reports[1] = [{ ...limited, untilMs: NOW + 50_000 }];
  assert.equal(board.renew(NOW + 10_000), true);
  assert.deepEqual(shown(board), [
    'False',
    'Resting',
    'rests on 2 of 3 proxies: model gpt-4o until 2026-11-27T12:01:00Z (RateLimited), rule app/chat/rule-1 until 2026-11-27T12:00:30Z (5xx)',
  ]);
  assert.equal(shown(board, status('openai'))?.[0], 'True');
  assert.equal(board.renew(NOW + 61_000), true);
  assert.equal(shown(board)?.[0], 'True');
});

test('the status of a backend that flaps changes every ten seconds at most', () => {
  const reports: (readonly RestReport[])[] = [[]];
  const board = boardOf(reports);
  let changes = 0;
  for (let ms = 0; ms < 60_000; ms += 2_000) {
    reports[0] = ms % 4_000 === 0 ? [] : [{ ...limited, untilMs: NOW + ms + 5_000 }];
    changes += board.renew(NOW + ms) ? 1 : 0;
  }
  assert.ok(changes >= 3 && changes <= 6, `${changes} changes`);
});

test('a message names a bounded number of rules', () => {
  const board = boardOf([Array.from({ length: 200 }, (_, nth) => inRule(nth))]);
  board.renew(NOW);
  const [, , message = ''] = shown(board) ?? [];
  assert.match(message, /^rests: rule app\/chat\/rule-0 until .* \(5xx\), and 197 more$/);
});

test('a sidecar reports only about its policy, and only what can be read', () => {
  const board = boardOf([[{ ...limited, backend: 'other/azure' }]]);
  board.renew(NOW);
  assert.equal(shown(board)?.[0], 'True');
  assert.deepEqual(shown(board, status('unused'))?.slice(0, 2), ['Unknown', 'NotObserved']);
  for (const wrong of [
    { ...limited, cause: 'Malice' },
    { ...limited, untilMs: 1e18 },
    { ...limited, backend: '' },
    1,
  ]) {
    assert.equal(readRestReport(wrong), undefined);
  }
  assert.deepEqual(readRestReport({ ...limited, later: true }), limited);
});

test('other kinds and backends that are not accepted have no health', () => {
  const board = boardOf([[]]);
  board.renew(NOW);
  assert.equal(shown(board, status('azure', 'AIQuotaPolicy')), undefined);
  assert.equal(shown(board, status('azure', 'AIBackend', 'Invalid')), undefined);
  board.clear();
  assert.equal(shown(board), undefined);
});
