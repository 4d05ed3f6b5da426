/** The certificates of authorities that this machine trusts, as one PEM file. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { writeAtomicallySync } from '../runtime/files.ts';

/** Debian, Red Hat, SUSE, Alpine and BSD, macOS. */
const PLACES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** `named` is `SSL_CERT_FILE`. Where the system has none, those that Node brings are written into `folder`. */
export function findCaBundle(named: string | undefined, folder: string): string {
  const found = [...(named ? [named] : []), ...PLACES].find((path) =>
    statSync(path, { throwIfNoEntry: false })?.isFile(),
  );
  if (found !== undefined) {
    return found;
  }
  const path = join(folder, 'authorities.pem');
  writeAtomicallySync(path, `${rootCertificates.join('\n')}\n`, 0o644);
  return path;
}
