/** A certificate authority for tests: it issues certificates of servers and clients. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const DAY_MS = 86_400_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** `CN=…`. */
  readonly subject: string;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** A certificate that has expired. */
  readonly expired?: boolean;
}

export interface Authority {
  /** PEM. */
  readonly cert: string;
  issue(options: CertificateOptions): Promise<Certificate>;
  /** Returns a revocation list with these certificates, in PEM. */
  revoke(certificates: readonly Certificate[]): Promise<string>;
}

export async function newAuthority(name: string): Promise<Authority> {
  const keys = await newKeys();
  const now = Date.now();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + DAY_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    cert: authority.toString('pem'),
    async issue({ subject, uris = [], dnsNames = [], expired = false }) {
      const own = await newKeys();
      const names = [
        ...uris.map((value) => ({ type: 'url' as const, value })),
        ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
      ];
      const certificate = await x509.X509CertificateGenerator.create({
        subject,
        issuer: authority.subject,
        notBefore: new Date(now - DAY_MS),
        notAfter: new Date(expired ? now - DAY_MS / 2 : now + DAY_MS),
        signingAlgorithm: algorithm,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          await x509.AuthorityKeyIdentifierExtension.create(authority),
          ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        ],
      });
      const pkcs8 = await crypto.subtle.exportKey('pkcs8', own.privateKey);
      return { cert: certificate.toString('pem'), key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') };
    },
    async revoke(certificates) {
      const list = await x509.X509CrlGenerator.create({
        issuer: authority.subject,
        thisUpdate: new Date(now - DAY_MS),
        nextUpdate: new Date(now + DAY_MS),
        signingAlgorithm: algorithm,
        signingKey: keys.privateKey,
        entries: certificates.map(({ cert }) => ({
          serialNumber: new x509.X509Certificate(cert).serialNumber,
          revocationDate: new Date(now),
          // The library writes an entry without extensions as an empty list, which Envoy refuses.
          reason: x509.X509CrlReason.keyCompromise,
        })),
      });
      return x509.PemConverter.encode(list.rawData, 'X509 CRL');
    },
  };
}

function newKeys() {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}
