/** Compares host names by the rules of Gateway API; `*` alone matches every host. */

/**
 * Returns the host name that both match, or undefined. `*.example.com` matches all subdomains of
 * example.com.
 */
export function intersection(left: string, right: string): string | undefined {
  if (covers(left, right)) {
    return right;
  }
  return covers(right, left) ? left : undefined;
}

/** Returns whether `outer` matches every host that `inner` matches. */
export function covers(outer: string, inner: string): boolean {
  if (outer === '*' || outer === inner) {
    return true;
  }
  return outer.startsWith('*.') && inner.endsWith(outer.slice(1)) && inner !== outer.slice(1);
}
