/** Decides from which URLs the keys of issuers may be fetched. */
import type { KeySource } from '../../contract/public-keys.ts';
import type { AIAccessPolicy } from '../../crds/kinds.ts';
import type { TranslationContext } from '../context.ts';
import { destinationFault, type UrlFault } from './destination-fault.ts';

/** Returns the source of the keys of an issuer with OpenID Connect Discovery. */
export function discoverySource(issuer: string): KeySource {
  return { type: 'Discovery', url: `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, issuer };
}

/** Returns why the keys of an issuer may not be fetched from a URL. */
export function urlFault(text: string, policy: AIAccessPolicy, context: TranslationContext): UrlFault | undefined {
  const user = {
    kind: 'AIAccessPolicy',
    namespace: policy.metadata.namespace,
    example: 'https://id.example.com',
    owner: "the issuer's",
    risk: 'replace the keys',
  } as const;
  return destinationFault(text, user, context);
}
