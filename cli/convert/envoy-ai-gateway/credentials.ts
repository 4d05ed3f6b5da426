/** BackendSecurityPolicies become credentials of AIBackends. */
import type { SourceField } from '../source-field.ts';
import type { ForeignResource } from './resources.ts';
import { type ForeignSecrets, secretReference } from './secrets.ts';

/** A credential, and how it differs from that of the source. */
export interface ForeignCredential {
  readonly spec: object;
  readonly how?: string;
  /** Of Vertex AI. */
  readonly pathPrefix?: string;
}

interface CredentialInput {
  readonly policy: ForeignResource;
  readonly schema: string;
  readonly secrets: ForeignSecrets;
}

const OWN_IDENTITY =
  "The gateway's own identity takes the place of the exchange of tokens; the operator must allow it for the namespace.";

const keyTypes: Readonly<
  Record<
    string,
    { readonly member: string; readonly header: string; readonly prefix?: string; readonly schemas: readonly string[] }
  >
> = {
  APIKey: {
    member: 'apiKey',
    header: 'authorization',
    prefix: 'Bearer ',
    schemas: ['OpenAI', 'Cohere', 'AWSBedrock', 'GCPVertexAI'],
  },
  AzureAPIKey: { member: 'azureAPIKey', header: 'api-key', schemas: ['AzureOpenAI'] },
  AnthropicAPIKey: { member: 'anthropicAPIKey', header: 'x-api-key', schemas: ['Anthropic'] },
  GoogleAPIKey: { member: 'googleAPIKey', header: 'x-goog-api-key', schemas: ['GoogleGemini'] },
};

/** Undefined if the policy has no counterpart. */
export function foreignCredential(input: CredentialInput): ForeignCredential | undefined {
  const spec = input.policy.field.at('spec');
  const type = spec?.at('type')?.text ?? '';
  spec
    ?.at('credentialOverride')
    ?.hasNoEqual('no filter before the gateway can choose the credential', 'use an AIBackend for each credential');
  if (Object.hasOwn(keyTypes, type)) {
    return keyCredential(input, type);
  }
  switch (type) {
    case 'AWSCredentials':
      return awsCredential(input, spec?.at('awsCredentials'));
    case 'AzureCredentials':
      return azureCredential(input, spec?.at('azureCredentials'));
    case 'GCPCredentials':
      return gcpCredential(input, spec?.at('gcpCredentials'));
    default:
      return undefined;
  }
}

function keyCredential({ policy, schema, secrets }: CredentialInput, type: string): ForeignCredential | undefined {
  const of = keyTypes[type];
  const reference = of && secretReference(policy.field.at('spec', of.member, 'secretRef'), policy.namespace);
  if (of === undefined || reference === undefined) {
    return undefined;
  }
  secrets.keep(reference, ['apiKey']);
  const secretRef = referenceFrom(reference, policy.namespace);
  const header = { name: of.header, ...(of.prefix !== undefined && { prefix: of.prefix }) };
  return { spec: { type: 'APIKey', apiKey: { secretRef, ...(!of.schemas.includes(schema) && { header }) } } };
}

function referenceFrom({ namespace, name }: { readonly namespace: string; readonly name: string }, own: string) {
  return { ...(namespace !== own && { namespace }), name };
}

function awsCredential({ policy, secrets }: CredentialInput, aws: SourceField | undefined): ForeignCredential {
  const region = aws?.at('region')?.text;
  const file = secretReference(aws?.at('credentialsFile', 'secretRef'), policy.namespace);
  const role = aws?.at('oidcExchangeToken', 'awsRoleArn')?.text;
  if (file === undefined) {
    return {
      spec: { type: 'AWS', aws: { region, ...(role !== undefined && { roleARN: role }) } },
      ...(role !== undefined && { how: OWN_IDENTITY }),
    };
  }
  const keys = { namespace: file.namespace, name: `${file.name}-keys` };
  secrets.create(keys, {
    accessKeyID: `\${AWS_ACCESS_KEY_ID}`,
    secretAccessKey: `\${AWS_SECRET_ACCESS_KEY}`,
  });
  const accessKey = { secretRef: referenceFrom(keys, policy.namespace) };
  return {
    spec: { type: 'AWS', aws: { region, accessKey } },
    how: `A Secret with the keys accessKeyID and secretAccessKey, not a credentials file with profiles: create ${keys.name}.`,
  };
}

function azureCredential({ policy, secrets }: CredentialInput, azure: SourceField | undefined): ForeignCredential {
  const secret = secretReference(azure?.at('clientSecretRef'), policy.namespace);
  if (secret !== undefined) {
    secrets.keep(secret, ['client-secret']);
  }
  const clientSecretRef = secret && { ...referenceFrom(secret, policy.namespace), key: 'client-secret' };
  return {
    spec: {
      type: 'AzureEntra',
      azureEntra: {
        tenantID: azure?.at('tenantID')?.text,
        clientID: azure?.at('clientID')?.text,
        ...(clientSecretRef !== undefined && { clientSecretRef }),
      },
    },
    ...(secret === undefined && { how: OWN_IDENTITY }),
  };
}

function gcpCredential(
  { policy, secrets }: CredentialInput,
  gcp: SourceField | undefined,
): ForeignCredential | undefined {
  const [project, region] = [gcp?.at('projectName')?.text, gcp?.at('region')?.text];
  if (gcp?.at('isPassthrough')?.isTrue || project === undefined || region === undefined) {
    return undefined;
  }
  const key = secretReference(gcp?.at('credentialsFile', 'secretRef'), policy.namespace);
  if (key !== undefined) {
    secrets.keep(key, ['service_account.json']);
  }
  const secretRef = key && { ...referenceFrom(key, policy.namespace), key: 'service_account.json' };
  return {
    spec: { type: 'GCP', gcp: secretRef === undefined ? {} : { serviceAccountKey: { secretRef } } },
    pathPrefix: `/v1/projects/${project}/locations/${region}`,
    ...(gcp?.at('workloadIdentityFederationConfig') !== undefined && { how: OWN_IDENTITY }),
  };
}
