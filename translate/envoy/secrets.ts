/** SECRET VALUES on their way to Envoy. They stand in files of their own and nowhere else. */
import type { LinkedBackend } from '../backends.ts';
import type { Door } from '../doors.ts';
import { authorityName, certificateName, credentialName } from '../names.ts';
import type { EnvoySecret, JsonObject } from '../plan.ts';
import { compare, fullName } from '../report.ts';
import { typed } from './resource.ts';

export function secretsOf(doors: readonly Door[], backends: readonly LinkedBackend[]): readonly EnvoySecret[] {
  const secrets = new Map<string, EnvoySecret>();
  for (const { name, usable } of backends) {
    if (usable?.credential !== undefined) {
      const secret = credentialName(name);
      secrets.set(secret, { name: secret, type: 'Generic', value: usable.credential.value });
    }
    if (usable?.endpoint.tls?.authority !== undefined) {
      const secret = authorityName(name);
      secrets.set(secret, { name: secret, type: 'Authority', certificates: usable.endpoint.tls.authority });
    }
  }
  for (const certificate of doors.flatMap((door) => door.certificates)) {
    const [chain, privateKey] = [certificate.data.get('tls.crt'), certificate.data.get('tls.key')];
    if (chain === undefined || privateKey === undefined) {
      continue;
    }
    const name = certificateName(fullName(certificate));
    secrets.set(name, { name, type: 'Certificate', chain, privateKey });
  }
  return [...secrets.values()].toSorted((left, right) => compare(left.name, right.name));
}

/** The resource with the value in plain text. Only for the file that Envoy reads. */
export function secretResource(secret: EnvoySecret): JsonObject {
  return typed('envoy.extensions.transport_sockets.tls.v3.Secret', { name: secret.name, ...secretValue(secret) });
}

function secretValue(secret: EnvoySecret): JsonObject {
  switch (secret.type) {
    case 'Generic':
      return { generic_secret: { secret: { inline_string: secret.value.reveal() } } };
    case 'Authority':
      return { validation_context: { trusted_ca: { inline_string: secret.certificates.reveal() } } };
    case 'Certificate':
      return {
        tls_certificate: {
          certificate_chain: { inline_string: secret.chain.reveal() },
          private_key: { inline_string: secret.privateKey.reveal() },
        },
      };
  }
}
