/**
 * Finds other spellings of metered paths. Some servers decode a path, ignore case or cut off parts
 * before they route.
 */
import { type PathPattern, pathPattern } from './path-pattern.ts';
import { endpoints } from './registry.ts';

/** A path that is still encoded after this many rounds hides something on purpose. */
const DECODING_ROUNDS = 8;

const metered = new Map<string, PathPattern[]>();

for (const { kind, method, path } of endpoints) {
  if (kind === 'metered') {
    metered.set(method, [...(metered.get(method) ?? []), pathPattern(folded(path)!)]);
  }
}

/**
 * Returns whether a lenient server could read the path as that of a metered API. `path` has no
 * query.
 */
export function disguisesMetered(method: string, path: string): boolean {
  const plain = folded(path);
  return plain === undefined || metered.get(method)?.some((pattern) => pattern.matches(plain)) === true;
}

/** Returns the plainest spelling, or undefined if decoding does not end. */
function folded(path: string): string | undefined {
  let decoded = path;
  for (let round = 0; decoded.includes('%'); round++) {
    const next = decoded.replace(/(?:%[0-9a-f]{2})+/gi, (run) =>
      Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'),
    );
    if (next === decoded) {
      break;
    }
    if (round === DECODING_ROUNDS) {
      return undefined;
    }
    decoded = next;
  }
  const segments: string[] = [];
  const [beforeQuery = ''] = decoded.normalize('NFKC').split(/[?#]/, 1);
  for (const part of beforeQuery.toLowerCase().split(/[/\\]/)) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
    const segment = part.replace(/;.*$/s, '').replace(/[\s\u0000-\u001f\u007f-\u009f]/g, '');
    if (segment === '..') {
      segments.pop();
    } else if (segment !== '' && segment !== '.') {
      segments.push(segment);
    }
  }
  return `/${segments.join('/')}`;
}
