/** Host names as Gateway API compares them; `*` alone is every host. */

/** The name that both serve, or undefined. `*.example.com` serves every name below example.com. */
export function intersection(left: string, right: string): string | undefined {
  if (covers(left, right)) {
    return right;
  }
  return covers(right, left) ? left : undefined;
}

/** Whether every host of `inner` is one of `outer`. */
export function covers(outer: string, inner: string): boolean {
  if (outer === '*' || outer === inner) {
    return true;
  }
  return outer.startsWith('*.') && inner.endsWith(outer.slice(1)) && inner !== outer.slice(1);
}
