import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchGuard } from './fetch-guard.ts';

const METADATA = '169.254.169.254';

test('on one machine, loopback is allowed and may be without TLS; metadata services are refused', () => {
  const guard = fetchGuard(undefined);
  for (const host of ['127.0.0.1', 'localhost', '::1']) {
    assert.equal(guard.refusal(host, host === 'localhost' ? '127.0.0.1' : host), undefined, host);
    assert.ok(guard.allowsPlainHttp(host), host);
  }
  assert.equal(guard.allowsPlainHttp('id.example.com'), false);
  assert.match(guard.refusal('id.example.com', METADATA)!, /link-local/);
  assert.match(guard.refusal('metadata.google.internal', '192.0.2.1')!, /metadata/);
});

test('in a cluster, a public name that resolves to the node or to a metadata service is refused', () => {
  const guard = fetchGuard({ clusterDomain: 'cluster.local', allowedDestinations: ['id.internal', '10.240.0.3'] });
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
