/** Reads the findings in the answer of a detector. */
import type { Finding } from '../detectors/detector.ts';
import { type Analysis, DetectorError } from './external-detector.ts';
import { codePointOffsets } from './offsets.ts';

/** A value of JSON with fields. */
export type AnswerObject = Readonly<Record<string, unknown>>;

/** More findings than this in one text are a fault of the detector. */
const MAX_FINDINGS = 10_000;
/** Types are values of metrics and access lines. */
const typePattern = /^[A-Za-z][\w.:/-]{0,63}$/;

/**
 * Returns findings with `type`, `start`, `end` and `score` (absent: 1) in order. The offsets that a
 * detector sends count Unicode code points. Throws a `DetectorError` if one is not valid.
 */
export function readFindings(text: string, sent: readonly AnswerObject[]): readonly Finding[] {
  if (sent.length > MAX_FINDINGS) {
    throw new DetectorError('bad_response', `the detector sends more than ${MAX_FINDINGS} findings`);
  }
  const offsetOf = codePointOffsets(text);
  const findings = sent.map((finding) => {
    const start = indexIn(finding['start'], offsetOf);
    const end = indexIn(finding['end'], offsetOf);
    if (start === undefined || end === undefined || start >= end) {
      throw new DetectorError('bad_response', 'the offsets of a finding are not a range of the text');
    }
    return { ...reasonIn(finding['type'], finding['score'] ?? 1), start, end };
  });
  return findings.sort((one, other) => one.start - other.start || one.end - other.end);
}

/** Returns the analysis of a detector that judges texts as a whole: blocked for any reason. */
export function verdict(text: string, reasons: readonly AnswerObject[]): Analysis {
  const findings = reasons
    .slice(0, MAX_FINDINGS)
    .map(({ type, score }) => ({ ...reasonIn(type, score), start: 0, end: text.length }));
  return { action: findings.length === 0 ? 'allow' : 'block', findings };
}

/** Returns the object in an answer. Throws a `DetectorError` if there is none. */
export function objectIn(value: unknown, what: string): AnswerObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DetectorError('bad_response', `${what} is not an object`);
  }
  return value as AnswerObject;
}

/** Returns the array in an answer. Throws a `DetectorError` if there is none. */
export function arrayIn(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) {
    throw new DetectorError('bad_response', `${what} is not an array`);
  }
  return value;
}

function indexIn(offset: unknown, offsetOf: (offset: number) => number | undefined): number | undefined {
  return typeof offset === 'number' && Number.isInteger(offset) ? offsetOf(offset) : undefined;
}

function reasonIn(type: unknown, score: unknown): Pick<Finding, 'type' | 'score'> {
  if (typeof type !== 'string' || !typePattern.test(type)) {
    throw new DetectorError('bad_response', 'the type of a finding is not a name of at most 64 characters');
  }
  if (typeof score !== 'number' || !(score >= 0 && score <= 1)) {
    throw new DetectorError('bad_response', 'the score of a finding is not a number from 0 to 1');
  }
  return { type, score };
}
