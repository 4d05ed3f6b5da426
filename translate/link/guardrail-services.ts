/** Resolves where the service of a detector is, and the secrets that extproc needs there. */
import type { DetectorService } from '../../contract/guardrails.ts';
import type { DetectSpec } from '../../crds/guardrail-detector.ts';
import type { AIGuardrailPolicy } from '../../crds/kinds.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import type { DetectorSecret } from '../plan.ts';
import type { ProblemFields } from '../problem.ts';
import { notFound } from '../resource-index.ts';
import { type Located, type Secret, secretText } from '../world.ts';
import { certificatesIn } from './certificates.ts';
import { destinationFault } from './destination-fault.ts';
import { isSigningSecret } from './notify.ts';

/** What a detector says about its service. */
type ServiceSpec = Pick<NonNullable<DetectSpec['presidio']>, 'url' | 'secretRef' | 'tls'>;

export interface ServiceUse {
  readonly policy: Located<AIGuardrailPolicy>;
  /** Of the detector's member, such as `spec.rules[0].detect.webhook`. */
  readonly path: string;
  /** What the secret is for. */
  readonly secret: 'api-key' | 'signing';
  readonly context: TranslationContext;
}

export interface LinkedService {
  readonly service: DetectorService;
  readonly secrets: readonly DetectorSecret[];
}

/** Returns undefined for a service that cannot be used. Reports the fault. */
export function linkService({ url, secretRef, tls }: ServiceSpec, use: ServiceUse): LinkedService | undefined {
  const user = {
    kind: 'AIGuardrailPolicy',
    namespace: use.policy.metadata.namespace,
    example: 'https://guard.example.com/analyze',
    owner: "the service's",
    risk: 'read the prompts',
  } as const;
  const fault = destinationFault(url, user, use.context);
  if (fault !== undefined) {
    return refuse(use, { reason: 'DestinationNotAllowed', path: 'url', ...fault });
  }
  const secret = secretRef && keyOf(secretRef, use);
  const authorities = tls?.caCertificateRef && certificateAuthorities(tls.caCertificateRef, use);
  const certificate = tls?.clientCertificateRef && clientCertificate(tls.clientCertificateRef.name, use);
  const wanted = [
    [secretRef, secret],
    [tls?.caCertificateRef, authorities],
    [tls?.clientCertificateRef, certificate],
  ];
  if (wanted.some(([reference, found]) => reference !== undefined && found === undefined)) {
    return undefined;
  }
  return {
    service: {
      url,
      ...(secret && { secret: secret.id }),
      ...(authorities !== undefined && { certificateAuthorities: authorities }),
      ...(certificate && {
        clientCertificate: { chain: certificate.chain.id, privateKey: certificate.privateKey.id },
      }),
    },
    secrets: [secret, certificate?.chain, certificate?.privateKey].filter((each) => each !== undefined),
  };
}

function refuse({ policy, path, context }: ServiceUse, problem: ProblemFields): undefined {
  context.diagnostics.error(subject('AIGuardrailPolicy', policy), { ...problem, path: `${path}.${problem.path}` });
  return undefined;
}

function secretOf(name: string, path: string, use: ServiceUse): Secret | undefined {
  const { resources } = use.context;
  const { namespace } = use.policy.metadata;
  const secret = resources.secret(namespace, name);
  return (
    secret ??
    refuse(use, { reason: 'SecretNotFound', path: `${path}.name`, ...notFound(resources, 'Secret', namespace, name) })
  );
}

/** Returns the value of a key with its id, without white space around it. */
function keyValue({ metadata, data }: Secret, key: string, path: string, use: ServiceUse): DetectorSecret | undefined {
  const text = data.get(key)?.reveal().trim();
  const name = `${metadata.namespace}/${metadata.name}`;
  return text === undefined || text === ''
    ? refuse(use, {
        reason: 'InvalidSecret',
        path,
        message: `Secret ${name} has ${text === undefined ? 'no key' : 'an empty value for key'} ${key}`,
        fix: `set ${key} in the Secret`,
      })
    : { id: `${name}/${key}`, value: secretText(text) };
}

function keyOf(
  { name, key }: { readonly name: string; readonly key: string },
  use: ServiceUse,
): DetectorSecret | undefined {
  const secret = secretOf(name, 'secretRef', use);
  const found = secret && keyValue(secret, key, 'secretRef.key', use);
  if (found === undefined) {
    return undefined;
  }
  const isUsable = use.secret === 'signing' ? isSigningSecret(found.value.reveal()) : isHeader(found.value.reveal());
  if (isUsable) {
    return found;
  }
  const what = `the value of key ${key} in Secret ${use.policy.metadata.namespace}/${name}`;
  return refuse(use, {
    reason: 'InvalidSecret',
    path: 'secretRef.key',
    ...(use.secret === 'signing'
      ? {
          message: `${what} is not a signing secret of Standard Webhooks`,
          fix: 'store whsec_ and the base64 of 24 to 64 random bytes, as `echo whsec_$(openssl rand -base64 24)` prints',
        }
      : {
          message: `${what} has characters that are not allowed in a header`,
          fix: 'store only the API key, on one line',
        }),
  });
}

function isHeader(text: string): boolean {
  return /^[!-~]+$/.test(text);
}

function certificateAuthorities(
  { name, key }: { readonly name: string; readonly key: string },
  use: ServiceUse,
): string | undefined {
  const { resources } = use.context;
  const { namespace } = use.policy.metadata;
  const configMap = resources.configMap(namespace, name);
  const path = 'tls.caCertificateRef';
  if (configMap === undefined) {
    const found = notFound(resources, 'ConfigMap', namespace, name);
    return refuse(use, { reason: 'SecretNotFound', path: `${path}.name`, ...found });
  }
  const found = certificatesIn(configMap.data.get(key) ?? '');
  return 'pem' in found
    ? found.pem
    : refuse(use, {
        reason: 'InvalidSecret',
        path: `${path}.key`,
        message: `key ${key} of ConfigMap ${namespace}/${name} ${found.wrong}`,
        fix: 'store PEM certificates of CAs',
      });
}

function clientCertificate(name: string, use: ServiceUse) {
  const path = 'tls.clientCertificateRef';
  const secret = secretOf(name, path, use);
  const chain = secret && keyValue(secret, 'tls.crt', `${path}.name`, use);
  const privateKey = secret && keyValue(secret, 'tls.key', `${path}.name`, use);
  return chain && privateKey && { chain, privateKey };
}
