/**
 * Extracts certificates and revocation lists from PEM text, and nothing else: a CA bundle is
 * published in a ConfigMap, and the text that a user refers to may contain a private key.
 */
import { X509Certificate } from 'node:crypto';
import { createRequire } from 'node:module';

/** The label of RFC 7468. */
const REVOCATION_LIST = 'X509 CRL';

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

/**
 * Returns the certificate revocation lists in normal form, or the fault. Envoy verifies their
 * signature and time when a client presents a certificate.
 */
export function revocationListsIn(text: string): { readonly pem: string } | { readonly wrong: string } {
  const found = [...text.matchAll(block)];
  if (found.length === 0) {
    return { wrong: 'has no PEM revocation lists' };
  }
  if (found.some(([, label]) => label !== REVOCATION_LIST)) {
    return { wrong: 'has PEM blocks other than revocation lists' };
  }
  const { PemConverter, X509Crl } = loadX509();
  const lists: string[] = [];
  for (const [index, [pem]] of found.entries()) {
    try {
      lists.push(`${PemConverter.encode(new X509Crl(pem).rawData, REVOCATION_LIST)}\n`);
    } catch {
      return { wrong: `has an unreadable revocation list (number ${index + 1} of ${found.length})` };
    }
  }
  return { pem: lists.join('') };
}

const require = createRequire(import.meta.url);

/** Loads on first use, because few listeners have revocation lists, and loading takes 100 ms. */
function loadX509(): typeof import('@peculiar/x509') {
  // Required by @peculiar/x509 at load time.
  require('reflect-metadata');
  return require('@peculiar/x509');
}
