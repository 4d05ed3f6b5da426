/**
 * Bounds the requests to fetch keys again: clients choose the key ids of their tokens, so each
 * token can name an unknown key.
 */

/** The fetcher acts on one request in 10 s, and remembers a request that comes sooner. */
const INTERVAL_MS = 1_000;
/**
 * More URLs than a policy has; beyond, no further requests are sent until old ones are forgotten.
 */
const MAX_URLS = 1000;

/** Returns a function that passes on at most one request per URL and interval. */
export function boundedKeyRequests(
  send: (url: string) => void,
  now: () => number = () => performance.now(),
): (url: string) => void {
  const sentMs = new Map<string, number>();
  return (url) => {
    const nowMs = now();
    const lastMs = sentMs.get(url);
    if (lastMs !== undefined && nowMs - lastMs < INTERVAL_MS) {
      return;
    }
    sentMs.delete(url);
    // In order of time.
    for (const [oldest, ms] of sentMs) {
      if (nowMs - ms < INTERVAL_MS) {
        break;
      }
      sentMs.delete(oldest);
    }
    if (sentMs.size < MAX_URLS) {
      sentMs.set(url, nowMs);
      send(url);
    }
  };
}
