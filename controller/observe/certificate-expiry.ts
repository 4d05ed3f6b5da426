/** When the certificates expire that the controller presents or passes on. */
import { X509Certificate } from 'node:crypto';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Returns Unix times in seconds by the names of the texts, which are PEM. Of several certificates,
 * the last to expire counts: an old authority beside its successor is no fault.
 */
export function certificateExpiries(texts: Readonly<Record<string, string | undefined>>): ReadonlyMap<string, number> {
  const expiries = new Map<string, number>();
  for (const [name, text = ''] of Object.entries(texts)) {
    const times = (text.match(CERTIFICATE) ?? []).flatMap(expirySeconds);
    if (times.length > 0) {
      expiries.set(name, Math.max(...times));
    }
  }
  return expiries;
}

function expirySeconds(pem: string): readonly number[] {
  try {
    return [new X509Certificate(pem).validToDate.getTime() / 1000];
  } catch {
    // Whoever uses the certificate reports that it is unreadable.
    return [];
  }
}
