import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PushedSecrets } from './pushed-secrets.ts';

test('a changed secret has its new value at once, and a removed one stays until the next change', () => {
  const secrets = new PushedSecrets();
  assert.equal(secrets.value('a/hook/secret'), undefined);
  secrets.use({ 'a/hook/secret': 'one', 'a/api/key': 'k' });
  secrets.use({ 'a/hook/secret': 'two' });
  assert.equal(secrets.value('a/hook/secret'), 'two');
  assert.equal(secrets.value('a/api/key'), 'k');
  secrets.use({ 'a/hook/secret': 'two' });
  assert.equal(secrets.value('a/api/key'), undefined);
  assert.equal(secrets.value('toString'), undefined);
});
