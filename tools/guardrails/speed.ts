import type { Detector, Finding } from '../../extproc/guard/detectors/detector.ts';

/** Text of a stream that a detector gets at once, as a model streams it: about one word. */
const CHUNK = 5;
/** What a stream keeps of its text: context and what is held back. */
const WINDOW = 300;
const CHUNKS = 20_000;
const ROUNDS = 5;
const MEGABYTE = 1024 * 1024;

/** Returns the fewest milliseconds for the whole of a text of 1 MB, made of `part`. */
export function wholeMs(detector: Detector, part: string): number {
  const text = part.repeat(Math.ceil(MEGABYTE / part.length)).slice(0, MEGABYTE);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const findings: Finding[] = [];
    const startedMs = performance.now();
    detector.find(text, 0, text.length, findings);
    best = Math.min(best, performance.now() - startedMs);
  }
  return best;
}

/** Returns the fewest microseconds for a chunk of a stream, on average over a text. */
export function chunkUs(detector: Detector, prose: string): number {
  const text = prose.repeat(Math.ceil((CHUNKS * CHUNK + WINDOW) / prose.length));
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const startedMs = performance.now();
    for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
      const end = WINDOW + chunk * CHUNK;
      const window = text.slice(end - WINDOW, end);
      const open = detector.openFrom(window);
      detector.find(window, Math.max(0, open - CHUNK), open, []);
    }
    best = Math.min(best, ((performance.now() - startedMs) * 1000) / CHUNKS);
  }
  return best;
}

/** Returns how many characters of prose stay back on average after a chunk. */
export function heldBack(detector: Detector, prose: string): number {
  let held = 0;
  let chunks = 0;
  for (let end = WINDOW; end < Math.min(prose.length, CHUNKS); end += CHUNK) {
    const window = prose.slice(end - WINDOW, end);
    held += window.length - detector.openFrom(window);
    chunks += 1;
  }
  return held / chunks;
}
