import { CONTEXT_LENGTH, type Detector, type Finding } from './detector.ts';

/** Returns the findings in a whole text. */
export function findAll(detector: Detector, text: string): Finding[] {
  const findings: Finding[] = [];
  detector.find(text, 0, text.length, findings);
  return findings;
}

/** Returns the texts that a detector finds, as `type: text`. */
export function found(detector: Detector, text: string): string[] {
  return findAll(detector, text).map(({ type, start, end }) => `${type}: ${text.slice(start, end)}`);
}

/**
 * Returns the findings in a text that arrives in pieces, as a stream looks at it: what is decided
 * leaves the window, except for the context of what follows.
 */
export function findInPieces(detector: Detector, text: string, cuts: readonly number[]): Finding[] {
  const findings: Finding[] = [];
  let decided = 0;
  let masked = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), text.length]) {
    const base = Math.max(0, decided - CONTEXT_LENGTH);
    const window = text.slice(base, cut);
    const until = cut === text.length ? window.length : Math.max(detector.openFrom(window), decided - base);
    const some: Finding[] = [];
    detector.find(window, decided - base, until, some);
    for (const finding of some) {
      if (finding.end + base > masked) {
        masked = finding.end + base;
        findings.push({ ...finding, start: finding.start + base, end: masked });
      }
    }
    decided = base + until;
  }
  return findings;
}
