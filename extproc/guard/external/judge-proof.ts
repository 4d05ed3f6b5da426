/**
 * What a judge's request proves itself with, so that it is not judged again. The key is that of the
 * judge: who may choose it for a rule could also leave the rule out.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** More than the clocks of replicas differ, and less than a captured proof should be worth. */
const MAX_AGE_S = 60;

/** Returns the proof for requests of now. */
export function judgeProof(key: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1000);
  return `${seconds}.${digestOf(key, seconds).toString('base64url')}`;
}

export function isJudgeProof(proof: string, key: string, nowMs: number): boolean {
  const [, seconds = '', digest = ''] = /^(\d{1,12})\.([\w-]{43})$/.exec(proof) ?? [];
  return (
    seconds !== '' &&
    Math.abs(nowMs / 1000 - Number(seconds)) <= MAX_AGE_S &&
    timingSafeEqual(Buffer.from(digest, 'base64url'), digestOf(key, Number(seconds)))
  );
}

function digestOf(key: string, seconds: number): Buffer {
  return createHmac('sha256', key).update(`tallygate judge ${seconds}`).digest();
}
