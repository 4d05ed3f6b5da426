import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import { fleetOfClass, fleetOfGateway, type GatewayFacts, type ProxyPod } from './fleets.ts';
import { PolicyLag } from './policy-lag.ts';

const FLEET = fleetOfGateway('infra/ai');
const gateway: GatewayFacts = { name: 'infra/ai', className: 'tallygate', labels: {} };
const version = (counter: number): PolicyVersion => ({ epoch: 1, counter, version: `v${counter}` });

function pod(uid: string, change: Partial<ProxyPod> = {}): ProxyPod {
  const facts = { name: `envoy-${uid}`, namespace: 'infra', fleet: FLEET, hasSidecar: true };
  return { uid, ...facts, ready: true, terminating: false, ...change };
}

const sidecar = (podUid: string, acknowledged?: PolicyVersion) => ({
  pod: { podUid, podName: `envoy-${podUid}`, namespace: 'infra' },
  acknowledged,
});

/** Observes the proxies of one fleet at times in seconds. */
function observer() {
  const lag = new PolicyLag();
  const observe = (
    atS: number,
    wanted: PolicyVersion | undefined,
    sidecars: readonly ReturnType<typeof sidecar>[],
    pods: readonly ProxyPod[] = [pod('a')],
  ) => lag.observe({ pods, sidecars, published: () => wanted }, atS * 1000).map(({ name }) => name);
  const seconds = (atS: number, gateways: readonly GatewayFacts[] = [gateway]) => [
    ...lag.seconds(gateways, atS * 1000),
  ];
  return { lag, observe, seconds };
}

test('a Gateway whose sidecars have the newest policy is not behind', () => {
  const { observe, seconds } = observer();
  observe(0, version(1), [sidecar('a', version(1))]);
  assert.deepEqual(seconds(9), [['infra/ai', 0]]);
});

test('the time counts from the first policy that a sidecar has not acknowledged', () => {
  const { observe, seconds } = observer();
  observe(0, version(1), [sidecar('a', version(1))]);
  observe(10, version(2), [sidecar('a', version(1))]);
  observe(40, version(3), [sidecar('a', version(1))]);
  assert.deepEqual(seconds(50), [['infra/ai', 40]]);
  observe(60, version(3), [sidecar('a', version(3))]);
  assert.deepEqual(seconds(70), [['infra/ai', 0]]);
  observe(80, version(4), [sidecar('a', version(3))]);
  assert.deepEqual(seconds(85), [['infra/ai', 5]]);
});

test('a sidecar that is slow, but takes policies, begins anew with each', () => {
  const { observe, seconds } = observer();
  observe(0, version(3), [sidecar('a', version(1))]);
  observe(20, version(4), [sidecar('a', version(2))]);
  assert.deepEqual(seconds(25), [['infra/ai', 5]]);
});

test('a sidecar that connects again with its old policy does not begin anew', () => {
  const { observe, seconds } = observer();
  observe(0, version(2), [sidecar('a', version(1))]);
  observe(10, version(2), []);
  observe(20, version(2), [sidecar('a')]);
  observe(30, version(2), [sidecar('a', version(1))]);
  assert.deepEqual(seconds(40), [['infra/ai', 40]]);
});

test('a sidecar that has taken a policy before it connects again begins anew', () => {
  const { observe, seconds } = observer();
  observe(0, version(3), [sidecar('a', version(1))]);
  observe(10, version(3), []);
  observe(20, version(3), [sidecar('a', version(2))]);
  assert.deepEqual(seconds(25), [['infra/ai', 5]]);
});

test('a ready proxy whose sidecar is not connected is behind', () => {
  const { observe, seconds } = observer();
  observe(0, version(1), []);
  assert.deepEqual(seconds(30), [['infra/ai', 30]]);
});

test('proxies that start, end or have no sidecar are not behind', () => {
  for (const change of [{ ready: false }, { terminating: true }, { hasSidecar: false }]) {
    const { observe, seconds } = observer();
    observe(0, version(1), [], [pod('a', change)]);
    assert.deepEqual(seconds(30), [], JSON.stringify(change));
  }
});

test('a late proxy stays behind when it becomes unready, and not when it is gone', () => {
  const { observe, seconds } = observer();
  observe(0, version(1), []);
  observe(20, version(1), [], [pod('a', { ready: false })]);
  assert.deepEqual(seconds(30), [['infra/ai', 30]]);
  observe(40, version(1), [], []);
  assert.deepEqual(seconds(50), []);
});

test('the Gateways of a merged fleet are all behind, by its latest sidecar', () => {
  const { observe, seconds } = observer();
  const fleet = fleetOfClass('tallygate');
  const pods = [pod('a', { fleet }), pod('b', { fleet })];
  observe(0, version(2), [sidecar('a', version(1)), sidecar('b', version(2))], pods);
  observe(10, version(3), [sidecar('a', version(1)), sidecar('b', version(2))], pods);
  const gateways = [gateway, { ...gateway, name: 'app/own' }, { ...gateway, name: 'app/other', className: 'other' }];
  assert.deepEqual(seconds(30, gateways), [
    ['infra/ai', 30],
    ['app/own', 30],
  ]);
});

test('a proxy is named once, after a minute', () => {
  const { observe } = observer();
  const named = [0, 58, 60, 62].map((atS) => observe(atS, version(2), [sidecar('a', version(1))]));
  assert.deepEqual(named, [[], [], ['envoy-a'], []]);
});

test('without a published policy, or after the term, nothing is behind', () => {
  const { lag, observe, seconds } = observer();
  observe(0, undefined, []);
  assert.deepEqual(seconds(30), []);
  observe(40, version(1), []);
  lag.clear();
  assert.deepEqual(seconds(50), []);
});
