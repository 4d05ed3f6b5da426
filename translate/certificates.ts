/** Takes certificates out of PEM text, and nothing else: a bundle is published in a ConfigMap, and what a user names may be a private key. */
import { X509Certificate } from 'node:crypto';

const block = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*(?:-----END \1-----)?/g;

/** Returns the certificates in a normal form, or what is wrong. Text between blocks (comments of a bundle) is left out. */
export function certificatesIn(text: string): { readonly pem: string } | { readonly wrong: string } {
  const found = [...text.matchAll(block)];
  if (found.length === 0) {
    return { wrong: 'has no PEM certificates' };
  }
  if (found.some(([, label]) => label !== 'CERTIFICATE')) {
    return { wrong: 'has PEM that is no certificate' };
  }
  const certificates: string[] = [];
  for (const [index, [pem]] of found.entries()) {
    try {
      certificates.push(new X509Certificate(pem).toString());
    } catch {
      return { wrong: `has a damaged certificate (number ${index + 1} of ${found.length})` };
    }
  }
  return { pem: certificates.join('') };
}
