/** Names of models, as rules and backends write them. */

export type NameMatcher = (name: string) => boolean;

/**
 * An exact name, or a glob in which `*` stands for any run of characters. Linear in the name for a
 * given glob.
 */
export function nameMatcher(pattern: string): NameMatcher {
  if (pattern === '*') {
    return () => true;
  }
  if (!pattern.includes('*')) {
    return (name) => name === pattern;
  }
  const parts = pattern.split('*');
  const first = parts[0]!;
  const last = parts.at(-1)!;
  const middle = parts.slice(1, -1);
  return (name) => {
    if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) {
      return false;
    }
    let at = first.length;
    const end = name.length - last.length;
    for (const part of middle) {
      const found = name.indexOf(part, at);
      if (found < 0 || found + part.length > end) {
        return false;
      }
      at = found + part.length;
    }
    return true;
  };
}
