import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueServerCertificate, renewCa, rotateCa } from '../push/ca.ts';
import { certificateExpiries } from './certificate-expiry.ts';

const DAY_S = 86_400;
const nowS = 1_800_000_000;

test('each certificate expires at the end of its validity', async () => {
  const ca = await renewCa(undefined, nowS * 1000);
  const { chain } = await issueServerCertificate(ca, ['tallygate-controller'], nowS * 1000);
  assert.deepEqual(
    [...certificateExpiries({ authority: ca.certificates, server: chain })],
    [
      ['authority', nowS + 3653 * DAY_S],
      ['server', nowS + DAY_S],
    ],
  );
});

test('of an authority and its successor, the last to expire counts', async () => {
  const old = await renewCa(undefined, nowS * 1000);
  const both = await rotateCa(old, (nowS + 100 * DAY_S) * 1000);
  assert.equal(certificateExpiries({ authority: both.certificates }).get('authority'), nowS + 3753 * DAY_S);
});

test('a text without a readable certificate has no expiry', () => {
  const broken = '-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n';
  assert.equal(certificateExpiries({ authority: undefined, server: '', quota_store: broken }).size, 0);
});
