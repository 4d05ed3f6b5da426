import assert from 'node:assert/strict';
import { it } from 'node:test';
import { encodingName, loadEncodings, modelEncoding } from './encodings.ts';

it('an encoding is chosen by the name of the model', () => {
  const names = {
    cl100k_base: [
      'gpt-4',
      'gpt-4-0613',
      'gpt-4-32k',
      'gpt-4-turbo',
      'gpt-3.5-turbo',
      'gpt-35-turbo',
      'ft:gpt-3.5-turbo:acme::1',
      'openai/gpt-4',
      'text-embedding-3-small',
      'text-embedding-ada-002',
    ],
    o200k_base: [
      'gpt-4o',
      'gpt-4o-mini',
      'gpt-4.1',
      'gpt-4.5-preview',
      'gpt-5',
      'o3',
      'chatgpt-4o-latest',
      'claude-4',
      'llama',
      '',
    ],
    o200k_harmony: ['gpt-oss-20b', 'openai/gpt-oss-120b'],
  };
  for (const [encoding, models] of Object.entries(names)) {
    for (const model of models) {
      assert.equal(encodingName(model), encoding, model);
    }
  }
});

it('encodings load with pauses, and once', async () => {
  let turns = 0;
  let loading = true;
  const turn = (): void => {
    turns++;
    if (loading) {
      setImmediate(turn);
    }
  };
  setImmediate(turn);
  await loadEncodings();
  loading = false;
  assert.ok(turns > 50, `${turns} turns`);
  const { encoding } = modelEncoding({ encoding: 'Auto' }, 'gpt-4o');
  assert.equal(modelEncoding({ encoding: 'o200k_harmony' }, 'x').encoding, encoding);
  assert.notEqual(modelEncoding({ encoding: 'cl100k_base' }, 'gpt-4o').encoding, encoding);
  assert.equal(modelEncoding({ encoding: 'Auto', factorPercent: 130 }, 'claude').factorPercent, 130);
  await loadEncodings(['o200k_base']);
  assert.equal(modelEncoding({ encoding: 'o200k_base' }, '').encoding, encoding);
});

it('every token of the file has its rank', async () => {
  await loadEncodings(['o200k_base', 'cl100k_base']);
  for (const name of ['o200k_base', 'cl100k_base'] as const) {
    const { default: known } = await import(`gpt-tokenizer/bpeRanks/${name}`);
    const { ranks } = modelEncoding({ encoding: name }, '').encoding;
    (known as readonly (string | readonly number[])[]).forEach((token, rank) => {
      const bytes = typeof token === 'string' ? Buffer.from(token) : Uint8Array.from(token);
      if (ranks.rank(bytes, 0, bytes.length) !== rank) {
        assert.fail(`${name}: rank ${rank}`);
      }
    });
    const unknown = Buffer.from('no such token');
    assert.equal(ranks.rank(unknown, 0, unknown.length), -1);
  }
});
