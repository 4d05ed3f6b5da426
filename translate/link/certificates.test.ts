import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { certificatesIn } from './certificates.ts';

const read = (name: string) => readFileSync(new URL(`../envoy/testdata/${name}`, import.meta.url), 'utf8');
const certificate = read('localhost.crt');
const key = read('localhost.key');

test('certificates are normalized, without the text around them', () => {
  const [normal] = certificate.match(/-----BEGIN[\s\S]*END CERTIFICATE-----\n/) ?? [];
  const bundle = `# sk-secret\r\n${certificate.replaceAll('\n', '\r\n')}password: hunter2\n${certificate}tail`;
  assert.deepEqual(certificatesIn(bundle), { pem: `${normal}${normal}` });
});

test('anything else is refused as a whole, without showing it', () => {
  for (const text of [
    '',
    'sk-secret',
    key,
    certificate + key,
    key + certificate,
    '-----BEGIN CERTIFICATE-----',
    '-----BEGIN CERTIFICATE-----\nc2stc2VjcmV0\n-----END CERTIFICATE-----\n',
    key.replaceAll('PRIVATE KEY', 'CERTIFICATE'),
    certificate.replace('-----END', ''),
  ]) {
    const found = certificatesIn(text);
    assert.ok('wrong' in found, text);
    assert.doesNotMatch(found.wrong, /secret/);
  }
});
