/**
 * Compiles the credentials of clouds into the tokens that must be fetched. Translate does not
 * fetch: its output names the tokens, and what was issued is an input (`World.tokens`).
 *
 * A backend without a secret of its own uses the gateway's identity. In a cluster, that is a power
 * of the operator: only the namespaces that the operator lists may use it, and only for the cloud's
 * own APIs, because any other server could read the token and use it elsewhere.
 */
import {
  type AwsSource,
  type AzureCloud,
  type EntraSource,
  type GoogleSource,
  knownToken,
  type TokenSource,
  usesGatewayIdentity,
  type WantedToken,
} from '../../contract/cloud-tokens.ts';
import type { AIBackend } from '../../crds/kinds.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { fullName } from '../object-names.ts';
import type { ProblemFields } from '../problem.ts';
import { type Located, secretText } from '../world.ts';
import { referencedSecret, type SecretUse, secretValue } from './credentials.ts';
import type { Endpoint, Refuse } from './endpoints.ts';

/** The resource of Azure's models in each cloud. */
const entraResources: Readonly<Record<AzureCloud, string>> = {
  Public: 'https://cognitiveservices.azure.com',
  USGovernment: 'https://cognitiveservices.azure.us',
  China: 'https://cognitiveservices.azure.cn',
};

/** The scopes for which the gateway's own identity may get tokens. */
const modelScopes = [...Object.values(entraResources), 'https://ai.azure.com'].map((each) => `${each}/.default`);

/** The APIs of the clouds, whose hosts nobody else can have. */
const cloudHosts: Readonly<Record<TokenSource['type'], RegExp>> = {
  AzureEntra: /^[a-z0-9-]+\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$/,
  AWS: /^bedrock-(runtime|runtime-fips|mantle)\.[a-z0-9-]+\.(amazonaws\.com|amazonaws\.com\.cn|api\.aws)$/,
  GCP: /^(([a-z0-9-]+-)?aiplatform|generativelanguage|aiplatform\.[a-z0-9-]+\.rep)\.googleapis\.com$/,
};

/** Returns 'none' for a backend without a credential of a cloud, undefined if one is refused. */
export function wantedTokenOf(
  backend: Located<AIBackend>,
  endpoint: Endpoint,
  context: TranslationContext,
  refuse: Refuse,
): WantedToken | 'none' | undefined {
  const { azureEntra, aws, gcp } = backend.spec.credential ?? {};
  const uses = (path: string): SecretUse => ({ backend, path, resources: context.resources, refuse });
  const source =
    (azureEntra && entraSource(azureEntra, uses)) ??
    (aws && awsSource(aws, backend, uses)) ??
    (gcp && googleSource(gcp, uses));
  if (source === undefined) {
    return azureEntra === undefined && aws === undefined && gcp === undefined ? 'none' : undefined;
  }
  const fault = usesGatewayIdentity(source) ? identityFault(source, backend, endpoint, context) : undefined;
  return fault === undefined ? { backend: fullName(backend), source } : refuse(fault);
}

type CredentialSpec = NonNullable<AIBackend['spec']['credential']>;
type Uses = (path: string) => SecretUse;

function entraSource(spec: NonNullable<CredentialSpec['azureEntra']>, uses: Uses): EntraSource | undefined {
  const { tenantID, clientID, clientSecretRef, cloud } = spec;
  const source: EntraSource = {
    type: 'AzureEntra',
    cloud,
    tenantId: tenantID,
    clientId: clientID,
    scope: spec.scope ?? `${entraResources[cloud]}/.default`,
  };
  if (clientSecretRef === undefined) {
    return source;
  }
  const use = uses('spec.credential.azureEntra.clientSecretRef');
  const secret = referencedSecret(clientSecretRef, use);
  const value = secret && secretValue(secret, clientSecretRef.key, use);
  return value === undefined ? undefined : { ...source, clientSecret: secretText(value) };
}

function awsSource(
  { region, accessKey, roleARN }: NonNullable<CredentialSpec['aws']>,
  { metadata }: AIBackend,
  uses: Uses,
): AwsSource | undefined {
  const source: AwsSource = {
    type: 'AWS',
    region,
    ...(roleARN !== undefined && { roleArn: roleARN }),
    externalId: metadata.namespace,
  };
  if (accessKey === undefined) {
    return source;
  }
  const use = uses('spec.credential.aws.accessKey.secretRef');
  const secret = referencedSecret(accessKey.secretRef, use);
  if (secret === undefined) {
    return undefined;
  }
  const id = secretValue(secret, 'accessKeyID', use, use.path);
  const key = secretValue(secret, 'secretAccessKey', use, use.path);
  if (id === undefined || key === undefined) {
    return undefined;
  }
  const sessionToken = secret.data.get('sessionToken')?.reveal().trim() ?? '';
  return {
    ...source,
    accessKey: {
      id,
      secret: secretText(key),
      ...(sessionToken !== '' && { sessionToken: secretText(sessionToken) }),
    },
  };
}

function googleSource({ serviceAccountKey }: NonNullable<CredentialSpec['gcp']>, uses: Uses): GoogleSource | undefined {
  if (serviceAccountKey === undefined) {
    return { type: 'GCP' };
  }
  const { secretRef } = serviceAccountKey;
  const use = uses('spec.credential.gcp.serviceAccountKey.secretRef');
  const secret = referencedSecret(secretRef, use);
  const text = secret && secretValue(secret, secretRef.key, use);
  return text === undefined ? undefined : { type: 'GCP', keyFile: secretText(text) };
}

/** Returns why a backend may not use the gateway's identity. */
function identityFault(
  source: TokenSource,
  { metadata: { namespace } }: AIBackend,
  { host, tls }: Endpoint,
  { mode }: TranslationContext,
): ProblemFields | undefined {
  if (mode.type === 'Standalone') {
    return undefined;
  }
  const path = `spec.credential.${members[source.type]}`;
  const secret = secretFields[source.type];
  if (!mode.identityNamespaces.includes(namespace)) {
    return {
      reason: 'IdentityNotAllowed',
      path,
      message: `namespace ${namespace} may not use the gateway's own identity`,
      fix: `set ${secret}, or ask the operator to add the namespace to controller.identityNamespaces of the chart`,
    };
  }
  const isCloudApi =
    tls !== undefined &&
    tls.caBundle === undefined &&
    [host, tls.hostname.toLowerCase()].every((name) => cloudHosts[source.type].test(name));
  if (!isCloudApi) {
    return {
      reason: 'IdentityNotAllowed',
      path: 'spec.endpoint',
      message: `the gateway's own identity is only for the models of its cloud, by TLS with the CAs of the system`,
      fix: `use a host such as ${exampleHosts[source.type]} with tls.mode System, or set ${secret}`,
    };
  }
  if (source.type === 'AzureEntra' && !modelScopes.includes(source.scope)) {
    return {
      reason: 'IdentityNotAllowed',
      path: `${path}.scope`,
      message: `the gateway's own identity gets no tokens for ${source.scope}`,
      fix: `leave scope out, or set ${secret}`,
    };
  }
  return undefined;
}

const exampleHosts = {
  AzureEntra: 'NAME.openai.azure.com',
  AWS: 'bedrock-runtime.REGION.amazonaws.com',
  GCP: 'REGION-aiplatform.googleapis.com',
} as const;
const members = { AzureEntra: 'azureEntra', AWS: 'aws', GCP: 'gcp' } as const;
const secretFields = { AzureEntra: 'clientSecretRef', AWS: 'accessKey', GCP: 'serviceAccountKey' } as const;

/**
 * Warns while a token cannot be fetched, also if the last one is still in use. Silent while the
 * first attempt runs.
 */
export function reportToken(
  wanted: WantedToken,
  backend: Located<AIBackend>,
  { tokens, diagnostics }: TranslationContext,
): void {
  const known = knownToken(tokens, wanted);
  if (known?.failure === undefined) {
    return;
  }
  const message =
    known.token === undefined
      ? `no token can be fetched, so the backend is not used: ${known.failure}`
      : `the token, which is in use until it expires, cannot be renewed: ${known.failure}`;
  diagnostics.warning(subject('AIBackend', backend), {
    reason: 'TokenNotFetched',
    path: `spec.credential.${members[wanted.source.type]}`,
    message,
    fix: 'correct the credential, or make the token endpoint reachable from here',
  });
}
