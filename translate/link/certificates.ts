/**
 * Extracts certificates from PEM text. Only certificates: a CA bundle is published in a ConfigMap,
 * and the text that a user refers to may contain a private key.
 */
import { X509Certificate } from 'node:crypto';

const block = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*(?:-----END \1-----)?/g;

/**
 * Returns the certificates in normal form, or the fault. Omits text between blocks (comments of a
 * bundle).
 */
export function certificatesIn(text: string): { readonly pem: string } | { readonly wrong: string } {
  const found = [...text.matchAll(block)];
  if (found.length === 0) {
    return { wrong: 'has no PEM certificates' };
  }
  if (found.some(([, label]) => label !== 'CERTIFICATE')) {
    return { wrong: 'has PEM blocks other than certificates' };
  }
  const certificates: string[] = [];
  for (const [index, [pem]] of found.entries()) {
    try {
      certificates.push(new X509Certificate(pem).toString());
    } catch {
      return { wrong: `has an unreadable certificate (number ${index + 1} of ${found.length})` };
    }
  }
  return { pem: certificates.join('') };
}
