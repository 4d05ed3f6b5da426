/** Resolves the credential of a backend: the header that Envoy adds to its requests. */
import type { ProviderApi } from '../../contract/policy.ts';
import type { AIBackend } from '../../crds/kinds.ts';
import { GROUP } from '../../crds/schema.ts';
import type { ProblemFields } from '../problem.ts';
import { notFound, type ResourceIndex, referenceGrantHint } from '../resource-index.ts';
import { type Located, type Secret, type SecretText, secretText } from '../world.ts';
import type { Refuse } from './endpoints.ts';

export interface Credential {
  readonly header: string;
  /** The whole header value. */
  readonly value: SecretText;
}

/** The headers of providers that take bare keys; the others take bearer tokens. */
const keyHeaders: Readonly<Partial<Record<ProviderApi, string>>> = {
  Anthropic: 'x-api-key',
  GoogleGemini: 'x-goog-api-key',
  AzureOpenAI: 'api-key',
};

export function bearer(token: string): Credential {
  return { header: 'authorization', value: secretText(`Bearer ${token}`) };
}

/** Returns 'none' for a backend without a key of its own, undefined if `refuse` was called. */
export function apiKeyCredential(
  backend: Located<AIBackend>,
  resources: ResourceIndex,
  refuse: Refuse,
): Credential | 'none' | undefined {
  const apiKey = backend.spec.credential?.apiKey;
  if (apiKey === undefined) {
    return 'none';
  }
  const { secretRef, header } = apiKey;
  const secrets = { backend, path: 'spec.credential.apiKey.secretRef', resources, refuse };
  const secret = referencedSecret(secretRef, secrets);
  const key = secret && secretValue(secret, secretRef.key, secrets);
  if (secret === undefined || key === undefined) {
    return undefined;
  }
  if (!/^[!-~]+$/.test(key)) {
    const message = `the value of key ${secretRef.key} in ${nameOf(secret)} has characters that are not allowed in a header`;
    return refuse({
      reason: 'InvalidSecret',
      path: `${secrets.path}.key`,
      message,
      fix: 'store only the API key, on one line',
    });
  }
  if (header !== undefined) {
    return { header: header.name.toLowerCase(), value: secretText(header.prefix + key) };
  }
  const keyHeader = keyHeaders[backend.spec.schema];
  return keyHeader === undefined ? bearer(key) : { header: keyHeader, value: secretText(key) };
}

/** Where a backend refers to a Secret, and how a fault of it is reported. */
export interface SecretUse {
  readonly backend: Located<AIBackend>;
  /** Of the reference. */
  readonly path: string;
  readonly resources: ResourceIndex;
  readonly refuse: (details: ProblemFields) => undefined;
}

export function referencedSecret(
  reference: { readonly namespace?: string | undefined; readonly name: string },
  { backend, path, resources, refuse }: SecretUse,
): Secret | undefined {
  const from = { group: GROUP, kind: 'AIBackend', namespace: backend.metadata.namespace };
  const to = { group: '', kind: 'Secret', namespace: reference.namespace ?? from.namespace, name: reference.name };
  if (!resources.permits(from, to)) {
    const message = `Secret ${to.namespace}/${to.name} is in another namespace and not permitted by a ReferenceGrant there`;
    return refuse({ reason: 'RefNotPermitted', path, message, fix: referenceGrantHint(from, to) });
  }
  const secret = resources.secret(to.namespace, to.name);
  if (secret === undefined) {
    const found = notFound(resources, 'Secret', to.namespace, to.name);
    return refuse({ reason: 'SecretNotFound', path: `${path}.name`, ...found });
  }
  return secret;
}

/** Returns the value of a key without white space around it. `field`: what names the key. */
export function secretValue(
  secret: Secret,
  key: string,
  { path, refuse }: SecretUse,
  field: string = `${path}.key`,
): string | undefined {
  // Files and `echo` often add a line break after a key.
  const value = secret.data.get(key)?.reveal().trim();
  if (value === undefined || value === '') {
    const message = `${nameOf(secret)} has ${value === undefined ? 'no key' : 'an empty value for key'} ${key}`;
    const fix = `set ${key} in the Secret, or correct ${field.split('.').slice(-2).join('.')}`;
    return refuse({ reason: 'InvalidSecret', path: field, message, fix });
  }
  return value;
}

function nameOf({ metadata }: Secret): string {
  return `Secret ${metadata.namespace}/${metadata.name}`;
}
