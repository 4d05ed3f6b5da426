import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../errors.ts';
import { splice } from '../../json/splice.ts';
import type { RequestEdits } from '../adapter.ts';
import { disguisesMetered } from '../disguise.ts';
import { findEndpoint } from '../registry.ts';
import { scanned } from '../testing/recordings.ts';

const SINGLE = '/v1beta/models/m:embedContent';
const BATCH = '/v1beta/models/m:batchEmbedContents';

function scannedFor(path: string, body: object) {
  const { endpoint } = findEndpoint('POST', path, () => undefined)!;
  return { endpoint, body: scanned(endpoint, JSON.stringify(body)) };
}

function read(path: string, given: object) {
  const { endpoint, body } = scannedFor(path, given);
  return endpoint.readRequest(body, { path, query: new URLSearchParams() });
}

function facts(path: string, given: object) {
  const found = read(path, given);
  assert.ok(!isFailure(found), JSON.stringify(found));
  return found;
}

function edited(path: string, given: object, edits: RequestEdits) {
  const { endpoint, body } = scannedFor(path, given);
  const splices = endpoint.edit(body, edits, { schema: 'GoogleGemini' });
  return JSON.parse(Buffer.concat([...splice(body.bytes, splices)]).toString());
}

const content = { parts: [{ text: 'four' }] };

describe('a request for embeddings', () => {
  it('is counted by its texts, in both spellings', () => {
    for (const [path, body, bytes] of [
      [SINGLE, { content, title: 'ab' }, 6],
      [SINGLE, { content: { parts: { text: 'four' } }, embed_content_config: { title: 'ab' } }, 6],
      [BATCH, { requests: [{ content }, { content, title: 'c' }] }, 9],
      [BATCH, { requests: { content } }, 4],
    ] as const) {
      const { textBytes, hasOutput, model } = facts(path, body);
      assert.deepEqual([textBytes, hasOutput, model], [bytes, false, 'm'], JSON.stringify(body));
    }
  });

  it('counts media, and has no bound where it names files', () => {
    const image = { parts: [{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }] };
    const file = { parts: [{ file_data: { file_uri: 'gs://bucket/a.png' } }] };
    assert.equal(facts(SINGLE, { content: image }).mediaTokens, 1_120);
    assert.equal(facts(BATCH, { requests: [{ content: image }, { content: image }] }).mediaTokens, 2_240);
    assert.deepEqual(facts(BATCH, { requests: [{ content: file }] }).unbounded, ['file_reference']);
  });

  it('names no other model than its path', () => {
    for (const name of ['m', 'models/m']) {
      assert.equal(facts(SINGLE, { model: name, content }).model, 'm');
      assert.equal(facts(BATCH, { requests: [{ model: name, content }] }).model, 'm');
    }
    for (const body of [
      {
        requests: [
          { model: 'models/m', content },
          { model: 'models/other', content },
        ],
      },
      { requests: { model: 'other', content } },
      { requests: [{ model: null, content }] },
      { model: 'models/other', requests: [{ content }] },
    ]) {
      const refused = read(BATCH, body);
      assert.ok(isFailure(refused), JSON.stringify(body));
      assert.match(refused.message, /^`(requests(\[\])?\.)?model` differs from the model in the path/);
    }
    assert.ok(isFailure(read(SINGLE, { model: 'models/other', content })));
  });

  it('has each option by one name only', () => {
    assert.ok(isFailure(read(SINGLE, { content, taskType: 'CLUSTERING', task_type: 'CLUSTERING' })));
    assert.ok(isFailure(read(BATCH, { requests: [{ content, outputDimensionality: 1, output_dimensionality: 2 }] })));
  });

  it('gets the name of the model at the backend, wherever it has one', () => {
    const requests = [{ model: 'models/m', content }, { content }, { model: 'm', content }];
    const renamed = [{ model: 'models/n', content }, { content }, { model: 'n', content }];
    assert.deepEqual(edited(BATCH, { requests }, { model: 'n' }), { requests: renamed });
    assert.deepEqual(edited(BATCH, { requests }, { model: 'models/n' }), { requests: renamed });
    assert.deepEqual(edited(BATCH, { requests }, {}), { requests });
    assert.deepEqual(edited(SINGLE, { model: 'models/m', content }, { model: 'n' }), { model: 'models/n', content });
    assert.deepEqual(edited(SINGLE, { content }, { model: 'n' }), { content });
  });

  it('cannot pass unread in another spelling', () => {
    assert.equal(disguisesMetered('POST', '/v1beta//models/m%3AembedContent'), true);
    assert.equal(disguisesMetered('POST', '/V1/publishers/google/models/m:BatchEmbedContents'), true);
  });
});
