import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusedDestination, serviceNamed, wrongDestination } from './destinations.ts';

const clusterDomain = 'corp.example';
const reach = (...allowedDestinations: readonly string[]) => ({ clusterDomain, allowedDestinations });

test('a standalone gateway may reach loopback but no metadata service', () => {
  for (const host of ['127.0.0.1', '::1', 'localhost', '10.0.0.1']) {
    assert.equal(refusedDestination(host, undefined), undefined);
  }
  for (const host of [
    '169.254.169.254',
    '0.0.0.0',
    '::',
    'metadata.google.internal',
    'fe80::1',
    '::ffff:169.254.169.254',
  ]) {
    assert.ok(refusedDestination(host, undefined), host);
  }
});

test('the platform can allow addresses, ranges, and names with their subdomains', () => {
  const allowed = reach('169.254.7.0/24', 'fd00:ec2::23', 'metadata.google.internal', '.infra.svc');
  for (const host of ['169.254.7.9', 'fd00:ec2::23', 'metadata.google.internal', 'a.metadata.google.internal']) {
    assert.equal(refusedDestination(host, allowed), undefined, host);
  }
  for (const host of ['169.254.8.1', 'fd00:ec2::254', 'notmetadata.metadata.goog', '127.0.0.1']) {
    assert.ok(refusedDestination(host, allowed), host);
  }
  assert.equal(serviceNamed('llm.infra.svc', allowed, new Map()), undefined);
  assert.deepEqual(serviceNamed('llm.other.svc', allowed, new Map()), { namespace: 'other', name: 'llm' });
});

test('Service names are recognized with the cluster domain and as short names that a resolver completes', () => {
  const services = new Map([['models/vllm', ['10.96.0.7', 'fd00::7']]]);
  for (const host of [
    '10.96.0.7',
    'FD00:0::7',
    'vllm.models',
    'vllm.models.svc',
    'vllm.models.svc.corp.example',
    'pod-0.vllm.models.svc',
  ]) {
    assert.deepEqual(serviceNamed(host, reach(), services), { namespace: 'models', name: 'vllm' }, host);
  }
  for (const host of [
    '10.96.0.8',
    'fd00::8',
    'api.example.com',
    'vllm.models.example',
    'vllm.models.svc.cluster.local',
  ]) {
    assert.equal(serviceNamed(host, reach(), services), undefined, host);
  }
  assert.ok(refusedDestination('10-0-0-1.app.pod.corp.example', reach()));
});

test('an allowed destination must be an address, a range or a name', () => {
  for (const text of ['10.0.0.0/8', '127.0.0.1', 'fd00::/8', 'llm.internal', '.svc.corp.example']) {
    assert.equal(wrongDestination(text), undefined);
  }
  for (const text of ['10.0.0.0/33', '10.0.0', 'http://a', '*.example.com', 'A.example', ' ', '10.0.0.0/a']) {
    assert.ok(wrongDestination(text), text);
  }
});
