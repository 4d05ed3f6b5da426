import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disguisesMetered } from './disguise.ts';

for (const path of [
  '/v1/chat/completions',
  '/v1/chat/completions/',
  '/v1/chat/completions//',
  '/v1//chat/completions',
  '/v1/chat%2fcompletions',
  '/v1/chat%252Fcompletions',
  '/v1/chat%25252525252Fcompletions',
  '/v1/Chat/Completions',
  '/v1/chat/completions;x=1',
  '/v1;a=b/chat/completions',
  '/v1/chat/completions%3Bx',
  '/v1/chat/completions%20',
  '/v1/chat/completions%00',
  '/v1/chat/completions%3Fa',
  '/v1/chat/completions%23a',
  '/v1/chat/./completions',
  '/v1/files/..;/chat/completions',
  '/v1/files/%2e%2e/chat/completions',
  '/v1/chat\\completions',
  '/v1/chat%5Ccompletions',
  '/v1/chat/completion%73',
  '/v1/ｃhat/completions',
  '/v1/responses/.',
  '/v1/messages%09',
  `/v1/chat${'%25'.repeat(1)}${'25'.repeat(20)}2Fcompletions`,
]) {
  test(`POST ${path.slice(0, 60)} could be a metered API`, () => assert.ok(disguisesMetered('POST', path)));
}

for (const [method, path] of [
  ['GET', '/v1/chat/completions'],
  ['POST', '/v1/chat/completions/abc'],
  ['POST', '/v1/batches'],
  ['POST', '/v1/files/a%20b'],
  ['POST', '/v1/messages/batches'],
  ['POST', '/v1/responses/resp_1/cancel'],
  ['POST', '/v1/100%'],
] as const) {
  test(`${method} ${path} could not be one`, () => assert.ok(!disguisesMetered(method, path)));
}
