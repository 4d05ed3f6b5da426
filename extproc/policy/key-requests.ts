/**
 * Bounds the requests to fetch keys again: clients choose the key ids of their tokens, so each
 * token can name an unknown key.
 */

/** The fetcher acts on one request in 10 s, and remembers a request that comes sooner. */
const INTERVAL_MS = 1_000;
/** More URLs than a policy has; requests for further URLs are dropped. */
const MAX_URLS = 1000;

/**
 * Returns a function that passes on at most one request per URL and interval. A request that comes
 * sooner is passed on at the end of the interval.
 */
export function boundedKeyRequests(send: (url: string) => void): (url: string) => void {
  /** The URLs of the last interval, and whether another request for them has come since. */
  const repeated = new Map<string, boolean>();
  const pass = (url: string) => {
    repeated.set(url, false);
    send(url);
    setTimeout(() => {
      const isWaiting = repeated.get(url);
      repeated.delete(url);
      if (isWaiting) {
        pass(url);
      }
    }, INTERVAL_MS).unref();
  };
  return (url) => {
    if (repeated.has(url)) {
      repeated.set(url, true);
    } else if (repeated.size < MAX_URLS) {
      pass(url);
    }
  };
}
