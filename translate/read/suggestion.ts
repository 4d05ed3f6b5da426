/** Returns the known name that is closest to a misspelt one, if any is close. */
export function suggestion(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const furthest = Math.max(1, Math.ceil(wanted.length / 3));
  let best: string | undefined;
  let least = furthest + 1;
  for (const each of known) {
    const distance = editDistance(wanted, each.toLowerCase(), least);
    if (distance < least) {
      [best, least] = [each, distance];
    }
  }
  return best;
}

function editDistance(left: string, right: string, bound: number): number {
  if (Math.abs(left.length - right.length) >= bound) {
    return bound;
  }
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? bound;
}
