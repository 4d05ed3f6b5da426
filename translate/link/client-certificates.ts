/** The validation of client certificates at a listener, by the fields of Gateway API. */
import type { ClientValidation, Listener } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import type { ProblemFields } from '../problem.ts';
import { notFound, referenceGrantHint } from '../resource-index.ts';
import { type ConfigMap, type Gateway, type Located, type Secret, type SecretText, secretText } from '../world.ts';
import { certificatesIn, revocationListsIn } from './certificates.ts';

export interface ClientCertificates {
  /** PEM certificates of the authorities that clients' certificates must come from. */
  readonly authorities: SecretText;
  /** PEM revocation lists of these authorities. */
  readonly revocationLists?: SecretText;
  /** Whether clients without a certificate are refused; a certificate must always be valid. */
  readonly required: boolean;
}

/**
 * Returns whether Envoy may let a client pass whose certificate it has not verified. Only in a
 * cluster: on one machine, a certificate must be valid even if none is required.
 */
export function acceptsUnverified(gateway: Located<Gateway>, spec: Listener): boolean {
  return validationOf(gateway, spec)?.validation.mode === 'AllowInsecureFallback';
}

/** Returns null without validation, and undefined if it has a fault, which `refuse` reports. */
export function clientCertificatesOf(
  gateway: Located<Gateway>,
  spec: Listener,
  listenerPath: string,
  { resources }: TranslationContext,
  refuse: (details: Pick<ProblemFields, 'path' | 'message' | 'fix'>) => undefined,
): ClientCertificates | null | undefined {
  const found = validationOf(gateway, spec);
  if (found === undefined) {
    return null;
  }
  const pem: string[] = [];
  const lists: string[] = [];
  for (const [index, { group, kind, name, namespace: home }] of found.validation.caCertificateRefs.entries()) {
    const path = `${found.path ?? `${listenerPath}.tls.frontendValidation`}.caCertificateRefs[${index}]`;
    const namespace = home ?? gateway.metadata.namespace;
    const from = { group: GATEWAY_GROUP, kind: 'Gateway', namespace: gateway.metadata.namespace };
    const to = { group: '', kind, namespace, name };
    if (group !== '' || (kind !== 'ConfigMap' && kind !== 'Secret')) {
      const message = `kind ${kind} is not supported for CA certificates`;
      return refuse({ path, message, fix: 'refer to a ConfigMap or a Secret' });
    }
    if (!resources.permits(from, to)) {
      const message = `${kind} ${namespace}/${name} is in another namespace and not permitted by a ReferenceGrant there`;
      return refuse({ path, message, fix: referenceGrantHint(from, to) });
    }
    const holder = kind === 'Secret' ? resources.secret(namespace, name) : resources.configMap(namespace, name);
    if (holder === undefined) {
      return refuse({ path, ...notFound(resources, kind, namespace, name) });
    }
    const certificates = certificatesIn(textOf(holder, 'ca.crt') ?? '');
    if ('wrong' in certificates) {
      const message = `${kind} ${namespace}/${name} ${certificates.wrong} under key ca.crt`;
      return refuse({ path, message, fix: 'set ca.crt to the CA certificates in PEM format' });
    }
    pem.push(certificates.pem);
    const revoked = textOf(holder, 'ca.crl');
    const revocationLists = revoked === undefined ? { pem: '' } : revocationListsIn(revoked);
    if ('wrong' in revocationLists) {
      const message = `${kind} ${namespace}/${name} ${revocationLists.wrong} under key ca.crl`;
      return refuse({ path, message, fix: 'set ca.crl to the revocation lists in PEM format, or remove the key' });
    }
    lists.push(revocationLists.pem);
  }
  const revocationLists = lists.join('');
  return {
    authorities: secretText(pem.join('')),
    ...(revocationLists !== '' && { revocationLists: secretText(revocationLists) }),
    required: found.validation.mode === 'AllowValidOnly',
  };
}

function textOf({ data }: Pick<Secret | ConfigMap, 'data'>, key: string): string | undefined {
  const held = data.get(key);
  return typeof held === 'object' ? held.reveal() : held;
}

/** Returns the validation and its path in the Gateway; without a path, it is in the listener. */
function validationOf(
  { spec: { tls } }: Located<Gateway>,
  spec: Listener,
): { readonly validation: ClientValidation; readonly path?: string } | undefined {
  if (spec.protocol !== 'HTTPS') {
    return undefined;
  }
  const { perPort = [], default: otherwise } = tls?.frontend ?? {};
  const index = perPort.findIndex(({ port }) => port === spec.port);
  if (index !== -1) {
    const validation = perPort[index]?.tls?.validation;
    return validation && { validation, path: `spec.tls.frontend.perPort[${index}].tls.validation` };
  }
  if (otherwise?.validation !== undefined) {
    return { validation: otherwise.validation, path: 'spec.tls.frontend.default.validation' };
  }
  return spec.tls?.frontendValidation && { validation: spec.tls.frontendValidation };
}
