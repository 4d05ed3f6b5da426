import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { publicKeysOf } from './public-keys.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

test('private members and unknown members of a key are removed', () => {
  const secret = { ...rsa.privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', x5c: ['certificate'] };
  const { kty, n, e } = rsa.publicKey.export({ format: 'jwk' });
  assert.deepEqual(publicKeysOf({ keys: [secret] }), [{ kty, kid: 'one', alg: 'RS256', n, e }]);
});

test('keys that cannot verify signatures are left out', () => {
  const key = ec.publicKey.export({ format: 'jwk' });
  const keys = [
    { kty: 'oct', k: 'c2VjcmV0', kid: 'symmetric' },
    { ...key, use: 'enc' },
    { ...key, key_ops: ['deriveKey'] },
    { kty: 'EC', crv: 'P-256', x: key.x },
    { kty: 'constructor', n: 'a', e: 'b' },
    { ...key, x: 'a'.repeat(5000) },
    'text',
    null,
    { ...key, use: 'sig', key_ops: ['verify'] },
  ];
  assert.deepEqual(publicKeysOf({ keys }), [{ ...key, use: 'sig' }]);
});

test('keys that take long to verify signatures are left out', () => {
  const key = rsa.publicKey.export({ format: 'jwk' });
  const modulus = (bits: number) => Buffer.alloc(bits / 8, 255).toString('base64url');
  const slow = [
    { ...key, e: Buffer.alloc(5, 255).toString('base64url') },
    { ...key, n: modulus(16_384) },
  ];
  assert.deepEqual(publicKeysOf({ keys: [...slow, { ...key, n: modulus(8192) }] }), [{ ...key, n: modulus(8192) }]);
});

test('a value that is not a key set gives no keys', () => {
  for (const value of [undefined, null, 'text', [], {}, { keys: {} }]) {
    assert.equal(publicKeysOf(value), undefined);
  }
});

test('the number of keys is bounded', () => {
  const key = ec.publicKey.export({ format: 'jwk' });
  assert.equal(publicKeysOf({ keys: new Array(1000).fill(key) })?.length, 64);
});
