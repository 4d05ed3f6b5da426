import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterFetchGuard, standaloneFetchGuard } from './fetch-guard.ts';

const clusterGuard = () =>
  clusterFetchGuard(
    { clusterDomain: 'cluster.local', allowedDestinations: ['id.internal', '10.240.0.3'] },
    () => new Map([['auth/dex', ['10.96.0.5']]]),
  );
const METADATA = '169.254.169.254';

test('on one machine, loopback is allowed and may be without TLS; metadata services are refused', () => {
  const guard = standaloneFetchGuard;
  for (const host of ['127.0.0.1', 'localhost', '::1']) {
    assert.equal(guard.refusal(host, host === 'localhost' ? '127.0.0.1' : host), undefined, host);
    assert.ok(guard.allowsPlainHttp(host), host);
  }
  assert.equal(guard.allowsPlainHttp('id.example.com'), false);
  assert.match(guard.refusal('id.example.com', METADATA)!, /link-local/);
  assert.match(guard.refusal('metadata.google.internal', '192.0.2.1')!, /metadata/);
});

test('in a cluster, a public name that resolves to the node or to a metadata service is refused', () => {
  const guard = clusterGuard();
  assert.equal(guard.refusal('id.example.com', '192.0.2.1'), undefined);
  for (const address of ['127.0.0.1', '::1', METADATA, '::ffff:127.0.0.1', '0.0.0.0']) {
    assert.ok(guard.refusal('id.example.com', address), address);
    assert.equal(guard.refusal('id.internal', address), undefined, 'a name that the operator allows');
  }
  assert.equal(guard.allowsPlainHttp('id.example.com'), false);
  assert.equal(guard.allowsPlainHttp('127.0.0.1'), false);
  assert.ok(guard.allowsPlainHttp('10.240.0.3'));
  assert.ok(guard.allowsPlainHttp('id.internal'));
});

test('in a cluster, only the URL of a policy leads to a Service', () => {
  const guard = clusterGuard();
  for (const host of ['dex.auth.svc', 'dex.auth', 'dex.auth.svc.cluster.local']) {
    assert.equal(guard.refusal(host, '10.96.0.5'), undefined, host);
    assert.equal(guard.linkRefusal(host), 'a Service', host);
  }
  assert.equal(guard.refusal('10.96.0.5', '10.96.0.5'), undefined);
  assert.equal(guard.linkRefusal('10.96.0.5'), 'a Service');
  assert.equal(guard.refusal('id.example.com', '10.96.0.5'), 'the address of a Service');
  assert.equal(guard.refusal('id.internal', '10.96.0.5'), undefined, 'a name that the operator allows');
  assert.equal(guard.linkRefusal('www.example.com'), undefined);
});
