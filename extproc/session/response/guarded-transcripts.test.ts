import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { type GuardrailRule, guardrailScopes } from '../../../contract/guardrails.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { basePolicy, ENTRY, newExchange, newRig } from '../testing.ts';

before(() => loadEncodings());

const mask: GuardrailRule = {
  name: 'identifiers',
  phases: ['Response'],
  scope: guardrailScopes,
  detector: { type: 'Builtin', detectors: ['Email'] },
  action: { type: 'Mask', placeholder: '<{type}-{index}>', restore: true },
  onFailure: 'Closed',
  timeoutMs: 100,
  onUnmaskable: 'Block',
};

const FORM = [
  ...['--b', 'content-disposition: form-data; name="model"', '', 'gpt-4o-mini'],
  ...['--b', 'content-disposition: form-data; name="file"; filename="a.wav"', '', 'RIFF', '--b--', ''],
].join('\r\n');

/** Returns what the client gets of a transcript. */
async function received(path: string, answer: string, rule = mask) {
  const [host] = basePolicy.virtualHosts;
  const rules = host!.rules.map((each) => ({ ...each, quotas: [], guardrails: ['default/guard'] }));
  const guardrail = { name: 'default/guard', rules: [rule], exempt: [], holdBack: { bytes: 65_536, ms: 2000 } };
  const virtualHosts = [{ ...host!, rules, passthrough: [] }];
  const rig = newRig({ policy: { quotas: [], guardrailPolicies: [guardrail], virtualHosts } });
  const forwarded = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  const pieces: Buffer[] = [];
  const handler = rig.open({
    ...newExchange(),
    requestHeaders: () => forwarded.resolve(),
    responseBody(piece, endOfStream) {
      pieces.push(Buffer.from(piece));
      if (endOfStream) {
        ended.resolve(Buffer.concat(pieces).toString());
      }
    },
    immediateResponse(reply) {
      forwarded.resolve();
      ended.resolve(String(reply.status));
    },
  });
  const type = 'multipart/form-data; boundary=b';
  const headers = { ':method': 'POST', ':path': path, 'content-type': type, 'x-team': 'red' };
  handler.requestHeaders(Object.entries(headers), false, ENTRY);
  handler.requestBody(Buffer.from(FORM), true);
  await forwarded.promise;
  const answered = { ':status': '200', 'content-type': 'text/plain' };
  handler.responseHeaders(Object.entries(answered), false, new Map());
  handler.responseBody(Buffer.from(answer), true);
  const body = await ended.promise;
  handler.closed(false);
  rig.store.close();
  return { body, block: rig.records[0]?.failure?.code };
}

const TIMES = '1\n00:00:00,000 --> 00:00:02,500\n';

for (const path of ['/v1/audio/transcriptions', '/v1/audio/translations']) {
  it(`masks a transcript that is plain text: ${path}`, async () => {
    for (const text of [
      'Write to "VALUE",\tplease.\r\n',
      `\n${TIMES}Grüße an VALUE 🙂\n\n`,
      `WEBVTT\n\n${TIMES}VALUE`,
    ]) {
      const { body } = await received(path, text.replace('VALUE', 'jane@example.com'));
      assert.equal(body, text.replace('VALUE', '<Email-1>'));
    }
  });
}

it('passes a transcript without findings byte for byte', async () => {
  const text = `${TIMES}Only "words" \\ \u2028 é`;
  assert.equal((await received('/v1/audio/transcriptions', text)).body, text);
});

it('masks a transcript in JSON, and refuses one that cannot be read', async () => {
  const json = (value: string) => `{"text":"Write to ${value}","usage":{"type":"duration","seconds":3}}`;
  assert.equal((await received('/v1/audio/transcriptions', json('jane@example.com'))).body, json('<Email-1>'));
  assert.equal((await received('/v1/audio/transcriptions', '{"text":"jane@example.com')).body, '502');
});

it('leaves nothing of a transcript that a rule blocks', async () => {
  const block: GuardrailRule = { ...mask, action: { type: 'Block', message: 'Not here.' } };
  const got = await received('/v1/audio/transcriptions', 'Write to jane@example.com', block);
  assert.deepEqual(got, { body: '', block: 'content_blocked' });
});
