/** Guardrails on errors of providers. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { GuardrailRule } from '../../../contract/guardrails.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { APIS, type Api, block, exchanged, mask, service } from './testing.ts';

before(() => loadEncodings());

const VALUE = 'jane@example.com';
const apis = Object.keys(APIS) as Api[];

const ERRORS: Readonly<Record<Api, (message: string) => object>> = {
  chat: (message) => ({ error: { message, type: 'invalid_request_error', code: null } }),
  completions: (message) => ({ error: { message, type: 'invalid_request_error', code: null } }),
  responses: (message) => ({ error: { message, type: 'invalid_request_error', code: null } }),
  messages: (message) => ({ type: 'error', error: { type: 'invalid_request_error', message } }),
  generate: (message) => ({ error: message, error_type: 'validation' }),
  generateContent: (message) => ({ error: { code: 400, message, status: 'INVALID_ARGUMENT' } }),
};

function failed(
  api: Api,
  answer: string,
  more: { rules?: readonly GuardrailRule[]; status?: number; gzip?: boolean } = {},
) {
  return exchanged({ api, rules: [mask], status: 400, stream: true, answer, ...more });
}

describe('an error of a provider', () => {
  it('is masked, whatever its API, bytes and status', async () => {
    for (const api of apis) {
      const answer = (value: string) => JSON.stringify(ERRORS[api](`Cannot use "${value}" here.`));
      for (const size of [7, 1e9]) {
        for (const gzip of [false, true]) {
          for (const status of [400, 429, 503]) {
            const given = { api, rules: [mask], answer: answer(VALUE), size, gzip, status };
            const { text, record, removed } = await exchanged({ ...given, stream: status === 400 });
            assert.equal(text, answer('<Email-1>'), api);
            assert.deepEqual([record.status, record.guard?.rules[0]?.findings], [status, { Email: 1 }]);
            assert.ok(removed.includes('content-length'));
          }
        }
      }
    }
  });

  it('is masked where it is no JSON', async () => {
    for (const [given, expected] of [
      [`<p>Cannot use\n"${VALUE}"</p>`, '<p>Cannot use\n"<Email-1>"</p>'],
      [`{"error": "${VALUE}`, '{"error": "<Email-1>'],
      [`"${VALUE}"`, '"<Email-1>"'],
      ['upstream \u00e9', 'upstream \u00e9'],
    ] as const) {
      assert.equal((await failed('chat', given)).text, expected);
    }
  });

  it('is masked for a client of another API', async () => {
    for (const [api, from] of [
      ['chat', 'messages'],
      ['messages', 'chat'],
      ['responses', 'generateContent'],
      ['generateContent', 'chat'],
    ] as const) {
      const answer = JSON.stringify(ERRORS[from](`Cannot use "${VALUE}" here.`));
      const given = { api, schema: APIS[from].schema, rules: [mask], status: 400, stream: true, answer };
      const { text, record } = await exchanged(given);
      assert.match(text, /Cannot use \\"<Email-1>\\" here\./, api);
      assert.equal(record.status, 400);
    }
  });

  it('loses its message where a rule blocks, or cannot look at it', async () => {
    const long = `${'a'.repeat(300_000)} ${VALUE}`;
    for (const api of apis) {
      const answer = JSON.stringify(ERRORS[api](VALUE));
      for (const [rules, given] of [
        [[block], answer],
        [[mask], long],
        [[service], answer],
      ] as const) {
        const { text, record } = await failed(api, given, { rules, status: 429 });
        assert.match(text, /withheld by a guardrail/, api);
        assert.ok(!text.includes('jane'), text);
        assert.equal(record.status, 429);
      }
    }
  });

  it('passes where an open rule cannot look at it', async () => {
    const open = { ...mask, onFailure: 'Open' as const };
    const long = 'a'.repeat(300_000);
    const { text, record } = await failed('chat', long, { rules: [open] });
    assert.equal(text, long);
    assert.equal(record.guard?.failures[0]?.reason, 'response_too_long');
  });

  it('is masked where the endpoint is not metered', async () => {
    const input = { model: 'claude-haiku-4-5', messages: [{ role: 'user', content: 'Say it' }] };
    const contents = [{ role: 'user', parts: [{ text: 'Say it' }] }];
    for (const [api, path, body] of [
      ['messages', '/v1/messages/count_tokens', input],
      ['generateContent', '/v1beta/models/gemini-2.5-flash:countTokens', { contents }],
      ['chat', '/v1/moderations', { model: 'omni-moderation-latest', input: 'Say it' }],
    ] as const) {
      const answer = (value: string) => JSON.stringify(ERRORS[api](`Cannot use "${value}" here.`));
      const given = { api, endpoint: { path, body }, stream: false, status: 400, answer: answer(VALUE) };
      for (const gzip of [false, true]) {
        const { text, record } = await exchanged({ ...given, rules: [mask], size: 7, gzip });
        assert.equal(text, answer('<Email-1>'), path);
        assert.deepEqual([record.status, record.guard?.rules[0]?.findings], [400, { Email: 1 }]);
      }
      const blocked = await exchanged({ ...given, rules: [block] });
      assert.match(blocked.text, /withheld by a guardrail/, path);
      const passed = await exchanged({ ...given, rules: [block], status: 200 });
      assert.equal(passed.text, given.answer, 'counts and verdicts have no text');
      const prompt = { ...mask, phases: ['Request' as const] };
      const restored = await exchanged({ ...given, rules: [prompt], prompt: VALUE, answer: answer('<Email-1>') });
      assert.equal(restored.text, answer(VALUE), path);
    }
  });

  it('is masked inside of a stream', async () => {
    for (const api of apis) {
      const answer = `data: ${JSON.stringify(ERRORS[api](`Cannot use "${VALUE}" here.`))}\n\n`;
      const { text } = await failed(api, answer, { status: 200 });
      assert.ok(!text.includes('jane'), `${api}: ${text}`);
      assert.match(text, /<Email-1>/, api);
    }
  });
});
