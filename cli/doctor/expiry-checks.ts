/** Checks when certificates and API keys expire. */
import { X509Certificate } from 'node:crypto';
import type { World } from '../../translate/world.ts';
import { type CheckOutcome, ok, problem, warning } from './check-result.ts';

/** What expires, and when. */
export interface Expiry {
  /** Such as `Secret default/certificate tls.crt`. */
  readonly name: string;
  readonly atMs: number;
  /** Whether requests fail afterwards; an API key may be meant to expire. */
  readonly isNeeded: boolean;
}

const SOON_MS = 14 * 24 * 3_600_000;
const SECTION = 'certificates-and-keys-expire';

export function expiryOutcomes(expiries: readonly Expiry[], nowMs: number): readonly CheckOutcome[] {
  const outcomes = expiries
    .filter(({ atMs }) => atMs < nowMs + SOON_MS)
    .map(({ name, atMs, isNeeded }): CheckOutcome => {
      const date = new Date(atMs).toISOString();
      const fix = `renew ${name}`;
      if (atMs >= nowMs) {
        return warning(`${name} expires at ${date}`, fix, SECTION);
      }
      const text = `${name} has expired at ${date}`;
      return isNeeded ? problem(text, fix, SECTION) : warning(text, `${fix}, or remove it`, SECTION);
    });
  return outcomes.length > 0 ? outcomes : [ok(`none of ${expiries.length} expires within 14 days`)];
}

export function expiriesOf({ secrets, configMaps, apiKeySecrets }: World): readonly Expiry[] {
  return [
    ...secrets.flatMap(({ metadata, data }) =>
      [...data].flatMap(([key, value]) =>
        certificateExpiries(`Secret ${metadata.namespace}/${metadata.name} ${key}`, value.reveal(), true),
      ),
    ),
    ...configMaps.flatMap(({ metadata, data }) =>
      [...data].flatMap(([key, text]) =>
        certificateExpiries(`ConfigMap ${metadata.namespace}/${metadata.name} ${key}`, text, false),
      ),
    ),
    ...apiKeySecrets.flatMap(({ metadata, key }) =>
      'expiresAtMs' in key && key.expiresAtMs !== undefined
        ? [{ name: `API key ${metadata.namespace}/${metadata.name}`, atMs: key.expiresAtMs, isNeeded: false }]
        : [],
    ),
  ];
}

/** Returns the earliest expiry among the certificates in the text. */
export function certificateExpiries(name: string, text: string, isNeeded: boolean): readonly Expiry[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const times = blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block).validToDate.getTime()];
    } catch {
      // The checks of the resources report what is no certificate.
      return [];
    }
  });
  return times.length === 0 ? [] : [{ name, atMs: Math.min(...times), isNeeded }];
}
