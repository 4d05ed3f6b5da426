import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isJudgeProof, judgeProof } from './judge-proof.ts';

const NOW_MS = 1_800_000_000_500;

test('a proof holds for its key and for a minute', () => {
  const proof = judgeProof('key', NOW_MS);
  assert.equal(isJudgeProof(proof, 'key', NOW_MS), true);
  assert.equal(isJudgeProof(proof, 'key', NOW_MS + 59_000), true);
  assert.equal(isJudgeProof(proof, 'key', NOW_MS - 59_000), true);
  assert.equal(isJudgeProof(proof, 'key', NOW_MS + 62_000), false);
  assert.equal(isJudgeProof(proof, 'other', NOW_MS), false);
});

test('nothing else is a proof', () => {
  const [seconds, digest] = judgeProof('key', NOW_MS).split('.');
  const later = `${Number(seconds) + 1}.${digest}`;
  for (const wrong of [
    '',
    '1',
    'x.y',
    `${seconds}.`,
    `${seconds}.${digest}A`,
    `${seconds}.${digest!.slice(1)}`,
    later,
  ]) {
    assert.equal(isJudgeProof(wrong, 'key', NOW_MS), false, wrong);
  }
});
