/** Identifies callers by the client certificate that Envoy has verified. */

import type { CertificateAuthenticator, CertificateSource } from '../../contract/access-policy.ts';
import { CERTIFICATE_ATTRIBUTES } from '../../contract/headers.ts';
import type { Caller } from '../caller.ts';
import { nameMatcher } from '../model-names.ts';

/** Longer attributes are not read: patterns take time in proportion to the square of this. */
const MAX_ATTRIBUTE_CHARACTERS = 512;

const VALUE = '{value}';

type Extract = (attribute: string) => string | undefined;

export interface CompiledCertificate {
  readonly id: string;
  /** Returns the caller, or undefined where the client presented no certificate. */
  identify(attributes: ReadonlyMap<string, string>): Caller | undefined;
}

export function compileCertificate({ id, identity }: CertificateAuthenticator): CompiledCertificate {
  const tenant = sourceReader(identity.tenant);
  const user = sourceReader(identity.user);
  const group = sourceReader(identity.groups);
  return {
    id,
    identify(attributes) {
      if (!Object.values(CERTIFICATE_ATTRIBUTES).some((name) => (attributes.get(name) ?? '') !== '')) {
        return undefined;
      }
      const found = group(attributes);
      const groups = found === undefined ? [] : [found];
      return { tenant: tenant(attributes), user: user(attributes), groups, apiKey: undefined, claim: () => undefined };
    },
  };
}

function sourceReader(
  source: CertificateSource | undefined,
): (attributes: ReadonlyMap<string, string>) => string | undefined {
  if (source === undefined) {
    return () => undefined;
  }
  const name = CERTIFICATE_ATTRIBUTES[source.from];
  const extract = source.pattern === undefined ? whole : patternExtract(source.pattern);
  return (attributes) => {
    const attribute = attributes.get(name);
    return attribute === undefined || attribute === '' || attribute.length > MAX_ATTRIBUTE_CHARACTERS
      ? undefined
      : extract(attribute);
  };
}

function whole(attribute: string): string {
  return attribute;
}

/**
 * Returns a function that takes the part of an attribute at `{value}`: the leftmost and longest one
 * if there are several. A pattern without `{value}` takes the whole attribute.
 */
function patternExtract(pattern: string): Extract {
  const at = pattern.indexOf(VALUE);
  if (at < 0) {
    const matches = nameMatcher(pattern);
    return (attribute) => (matches(attribute) ? attribute : undefined);
  }
  const [before, after] = [pattern.slice(0, at), pattern.slice(at + VALUE.length)];
  const [beginMatches, endMatches] = [nameMatcher(before), nameMatcher(after)];
  const fixedStart = before.includes('*') ? undefined : before.length;
  return (attribute) => {
    // Matched once per position, not once per pair of positions.
    const ends = Array.from({ length: attribute.length + 1 }, (_, end) => endMatches(attribute.slice(end)));
    const last = fixedStart ?? attribute.length - 1;
    for (let start = fixedStart ?? 0; start <= last; start++) {
      if (!beginMatches(attribute.slice(0, start))) {
        continue;
      }
      const slash = attribute.indexOf('/', start);
      const end = ends.lastIndexOf(true, slash < 0 ? attribute.length : slash);
      if (end > start) {
        return attribute.slice(start, end);
      }
    }
    return undefined;
  };
}
