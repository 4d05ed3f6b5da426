/** Secret values for Envoy. Each is written to a separate file and appears nowhere else. */
import type { LinkedBackend } from '../link/backends.ts';
import type { GatewayListener } from '../link/listeners.ts';
import { caName, certificateName, clientAuthorityName, credentialName } from '../names.ts';
import { compare, fullName } from '../object-names.ts';
import type { EnvoySecret, JsonObject } from '../plan.ts';
import { typed } from './resource.ts';

export function secretsOf(
  listeners: readonly GatewayListener[],
  backends: readonly LinkedBackend[],
): readonly EnvoySecret[] {
  const secrets = new Map<string, EnvoySecret>();
  for (const { name, usable } of backends) {
    if (usable?.credential !== undefined) {
      const secret = credentialName(name);
      secrets.set(secret, { name: secret, type: 'Generic', value: usable.credential.value });
    }
    if (usable?.endpoint.tls?.caBundle !== undefined) {
      const secret = caName(name);
      secrets.set(secret, { name: secret, type: 'CaBundle', certificates: usable.endpoint.tls.caBundle });
    }
  }
  for (const certificate of listeners.flatMap(({ certificates }) => certificates)) {
    const [chain, privateKey] = [certificate.data.get('tls.crt'), certificate.data.get('tls.key')];
    if (chain === undefined || privateKey === undefined) {
      continue;
    }
    const name = certificateName(fullName(certificate));
    secrets.set(name, { name, type: 'Certificate', chain, privateKey });
  }
  for (const listener of listeners) {
    if (listener.clientCertificates !== undefined) {
      const name = clientAuthorityName(listener);
      const { authorities, revocationLists } = listener.clientCertificates;
      secrets.set(name, {
        name,
        type: 'CaBundle',
        certificates: authorities,
        ...(revocationLists && { revocationLists }),
      });
    }
  }
  return [...secrets.values()].toSorted((left, right) => compare(left.name, right.name));
}

/** Returns the resource with the value in plain text, only for the file that Envoy reads. */
export function secretResource(secret: EnvoySecret): JsonObject {
  return typed('envoy.extensions.transport_sockets.tls.v3.Secret', { name: secret.name, ...secretValue(secret) });
}

function secretValue(secret: EnvoySecret): JsonObject {
  switch (secret.type) {
    case 'Generic':
      return { generic_secret: { secret: { inline_string: secret.value.reveal() } } };
    case 'CaBundle':
      return {
        validation_context: {
          trusted_ca: { inline_string: secret.certificates.reveal() },
          ...(secret.revocationLists && { crl: { inline_string: secret.revocationLists.reveal() } }),
        },
      };
    case 'Certificate':
      return {
        tls_certificate: {
          certificate_chain: { inline_string: secret.chain.reveal() },
          private_key: { inline_string: secret.privateKey.reveal() },
        },
      };
  }
}
