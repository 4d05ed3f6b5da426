import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { certificatesIn, revocationListsIn } from './certificates.ts';

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

// Without revoked certificates, of the authority in localhost.crt.
const revocationList = read('localhost.crl');

test('revocation lists are normalized, without the text around them', () => {
  const text = `# of yesterday\r\n${revocationList.replaceAll('\n', '\r\n')}\n${revocationList}tail`;
  assert.deepEqual(revocationListsIn(text), { pem: `${revocationList}${revocationList}` });
});

test('other blocks and damaged revocation lists are refused as a whole', () => {
  for (const text of [
    '',
    'sk-secret',
    key,
    certificate,
    revocationList + certificate,
    certificate.replaceAll('CERTIFICATE', 'X509 CRL'),
    '-----BEGIN X509 CRL-----\nc2stc2VjcmV0\n-----END X509 CRL-----\n',
    revocationList.replace('-----END', ''),
  ]) {
    const found = revocationListsIn(text);
    assert.ok('wrong' in found, text);
    assert.doesNotMatch(found.wrong, /secret/);
  }
});
