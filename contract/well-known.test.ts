import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSignIn } from './well-known.ts';

const document = {
  issuer: 'https://sso.example.com',
  clientId: 'tallygate',
  audiences: ['ai-gateway'],
  scopes: ['openid', 'email'],
  token: 'access',
};

test('a document is read without the fields of later versions', () => {
  assert.deepEqual(readSignIn({ ...document, added: 1 }), document);
});

test('a document with a wrong field is refused with the reason', () => {
  for (const [wrong, problem] of [
    [undefined, /not a JSON object/],
    [null, /not a JSON object/],
    [[], /issuer/],
    [{ ...document, issuer: 'sso' }, /issuer/],
    [{ ...document, clientId: '' }, /clientId/],
    [{ ...document, audiences: 'ai-gateway' }, /audiences/],
    [{ ...document, scopes: [1] }, /scopes/],
    [{ ...document, token: 'refresh' }, /token/],
  ] as const) {
    assert.match((readSignIn(wrong) as { problem: string }).problem, problem);
  }
});
