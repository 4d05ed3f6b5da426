/** Matches the paths of client APIs, which name a model or more in `{…}`. */

export interface PathPattern {
  /** What all matching paths begin with; the whole path where it names nothing. */
  readonly prefix: string;
  readonly exact: boolean;
  matches(path: string): boolean;
}

/** `{model}` may contain slashes, every other name is one segment. */
export function pathPattern(path: string): PathPattern {
  const brace = path.indexOf('{');
  if (brace < 0) {
    return { prefix: path, exact: true, matches: (given) => given === path };
  }
  const source = path
    .split(/(\{\w+\})/)
    .map((part) => (part === '{model}' ? '.+' : part.startsWith('{') ? '[^/]+' : escaped(part)));
  const whole = new RegExp(`^${source.join('')}$`, 's');
  return { prefix: path.slice(0, brace), exact: false, matches: (given) => whole.test(given) };
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
