/**
 * The certificate authority (CA) of the policy push, as pure functions over PEM text. A new CA is
 * published a day before it signs, and an old one stays trusted until everything that it signed has
 * expired.
 */
import { createPrivateKey, KeyObject, randomBytes, X509Certificate } from 'node:crypto';
// Required by @peculiar/x509 at load time.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

/** Certificates and keys, oldest first. */
export interface CaText {
  /** The bundle that sidecars trust. */
  readonly certificates: string;
  /** Private keys in PKCS #8, one for each certificate. */
  readonly keys: string;
}

export interface ServerCertificate {
  readonly chain: string;
  readonly key: string;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const CA_LIFE_MS = 3653 * DAY_MS;
const CA_RENEWED_BEFORE_MS = 365 * DAY_MS;
/**
 * The kubelet updates a mounted ConfigMap within two minutes; a day also covers nodes that were
 * offline.
 */
const PUBLISHED_BEFORE_MS = DAY_MS;
const SERVER_LIFE_MS = DAY_MS;
const SERVER_RENEWED_AFTER_MS = SERVER_LIFE_MS / 2;
/** Tolerated difference between the clocks of nodes. */
const SKEW_MS = 10 * 60_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

interface CaKeyPair {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

/**
 * Returns what to keep from now on; the same object if nothing is due. Unusable text counts as
 * absent.
 */
export async function renewCa(kept: CaText | undefined, nowMs: number): Promise<CaText> {
  const read = kept === undefined ? [] : readCas(kept);
  const live = read.filter(({ certificate }) => Date.parse(certificate.validTo) > nowMs);
  const needed = live.filter((_, index) => {
    const next = live[index + 1];
    return next === undefined || nowMs < signsFromMs(next) + SERVER_LIFE_MS + SKEW_MS;
  });
  const newest = needed.at(-1);
  const due = newest === undefined || Date.parse(newest.certificate.validTo) - nowMs < CA_RENEWED_BEFORE_MS;
  const wanted = due ? [...needed, await newCa(nowMs)] : needed;
  if (kept !== undefined && wanted.length === read.length && !due) {
    return kept;
  }
  return writeCas(wanted);
}

/** Replaces the CA early, with the same overlap. */
export async function rotateCa(kept: CaText, nowMs: number): Promise<CaText> {
  return writeCas([...readCas(kept), await newCa(nowMs)]);
}

export async function issueServerCertificate(
  kept: CaText,
  dnsNames: readonly string[],
  nowMs: number,
): Promise<ServerCertificate> {
  const cas = readCas(kept);
  const signer = cas.findLast((each) => signsFromMs(each) <= nowMs) ?? cas[0];
  if (signer === undefined) {
    throw new Error('there is no usable CA');
  }
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerialNumber(),
    subject: `CN=${dnsNames[0]}`,
    issuer: new x509.X509Certificate(signer.certificate.raw).subject,
    notBefore: new Date(nowMs - SKEW_MS),
    notAfter: new Date(nowMs + SERVER_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await crypto.subtle.importKey('pkcs8', derOf(signer.key), ALGORITHM, false, ['sign']),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
      new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value }))),
      await x509.AuthorityKeyIdentifierExtension.create(new x509.X509Certificate(signer.certificate.raw)),
    ],
  });
  return { chain: `${certificate.toString('pem')}\n`, key: pemOf(KeyObject.from(keys.privateKey)) };
}

/** Returns whether the certificate is due for renewal, or its CA no longer the one that signs. */
export function serverCertificateIsDue(current: ServerCertificate, kept: CaText, nowMs: number): boolean {
  const certificate = new X509Certificate(current.chain);
  const cas = readCas(kept);
  const signer = cas.findLast((each) => signsFromMs(each) <= nowMs) ?? cas[0];
  if (signer === undefined || !certificate.verify(signer.certificate.publicKey)) {
    return true;
  }
  return nowMs >= Date.parse(certificate.validFrom) + SKEW_MS + SERVER_RENEWED_AFTER_MS;
}

async function newCa(nowMs: number): Promise<CaKeyPair> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const serialNumber = newSerialNumber();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    // CAs that overlap need different names, because a verifier looks up the issuer by name.
    name: `CN=tallygate ${serialNumber}`,
    notBefore: new Date(nowMs - SKEW_MS),
    notAfter: new Date(nowMs + CA_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificate: new X509Certificate(Buffer.from(certificate.rawData)),
    key: KeyObject.from(keys.privateKey),
  };
}

function signsFromMs({ certificate }: CaKeyPair): number {
  return Date.parse(certificate.validFrom) + SKEW_MS + PUBLISHED_BEFORE_MS;
}

/** Positive, as RFC 5280 requires. */
function newSerialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

const BLOCK = /-----BEGIN ([A-Z ]+)-----[^-]*-----END \1-----/g;

function readCas({ certificates, keys }: CaText): readonly CaKeyPair[] {
  try {
    const privateKeys = (keys.match(BLOCK) ?? []).map((block) => createPrivateKey(block));
    const read = (certificates.match(BLOCK) ?? []).map((block) => new X509Certificate(block));
    if (read.length !== privateKeys.length) {
      return [];
    }
    const cas = read.map((certificate, index) => ({ certificate, key: privateKeys[index]! }));
    return cas.every(({ certificate, key }) => certificate.ca && certificate.checkPrivateKey(key)) ? cas : [];
  } catch {
    return [];
  }
}

function writeCas(cas: readonly CaKeyPair[]): CaText {
  return {
    certificates: cas.map(({ certificate }) => certificate.toString()).join(''),
    keys: cas.map(({ key }) => pemOf(key)).join(''),
  };
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function derOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(key.export({ type: 'pkcs8', format: 'der' }));
}
