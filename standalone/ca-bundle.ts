/** Finds the CA certificates that this machine trusts, as one PEM file. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { writeAtomicallySync } from '../runtime/files.ts';

/** Debian, Red Hat, SUSE, Alpine and BSD, macOS. */
const paths = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** `named` is `SSL_CERT_FILE`. If the system has no bundle, writes Node's into `folder`. */
export function findCaBundle(named: string | undefined, folder: string): string {
  const found = [...(named ? [named] : []), ...paths].find((path) =>
    statSync(path, { throwIfNoEntry: false })?.isFile(),
  );
  if (found !== undefined) {
    return found;
  }
  const path = join(folder, 'authorities.pem');
  writeAtomicallySync(path, `${rootCertificates.join('\n')}\n`, 0o644);
  return path;
}
