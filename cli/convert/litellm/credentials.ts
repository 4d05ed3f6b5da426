/** The credentials of deployments. */
import type { ObjectDraft } from '../draft.ts';
import { variableOf } from '../names.ts';
import { environmentVariable, SecretDrafts } from '../secrets.ts';
import type { SourceField } from '../source-field.ts';
import type { DeploymentFields } from './deployment-fields.ts';
import type { NamedProvider } from './providers.ts';
import { type LiteLlmSource, settingOf } from './source.ts';

/** A credential of an AIBackend, with the fields that it comes from. */
export interface DraftCredential {
  readonly spec?: object;
  /** A decision to note beside the credential. */
  readonly comment?: string;
}

export function credentialOf(fields: DeploymentFields, named: NamedProvider, source: LiteLlmSource): DraftCredential {
  const { schema } = named.provider;
  if (schema === 'AWSBedrock') {
    return awsCredential(fields, source);
  }
  if (schema === 'GCPVertexAI') {
    return gcpCredential(fields, source);
  }
  const entra = schema === 'AzureOpenAI' ? entraCredential(fields, source) : undefined;
  return entra ?? apiKey(fields, named, source);
}

function apiKey(fields: DeploymentFields, { name, provider }: NamedProvider, source: LiteLlmSource): DraftCredential {
  const key = fields.at('api_key');
  const text = key?.text ?? '';
  if (key !== undefined && ['', 'none', 'null', 'empty', 'not-needed', 'no-key'].includes(text.toLowerCase())) {
    key.isNotNeeded('the provider takes no key');
    return {};
  }
  if (key === undefined && provider.keyVariable === undefined) {
    return {};
  }
  // These read a key only if there is one.
  if (key === undefined && provider.host === undefined && provider.schema === 'OpenAI') {
    return {};
  }
  const wanted = provider.keyVariable ?? `${variableOf(name)}_API_KEY`;
  const variable = key === undefined ? wanted : source.secrets.variable(key, wanted);
  const secret = source.secrets.secret(variable, { apiKey: `\${${variable}}` });
  if (key !== undefined) {
    SecretDrafts.report(key, secret, 'apiKey', variable);
  }
  const spec = { type: 'APIKey', apiKey: { secretRef: { name: secret.object.metadata.name } } };
  return key === undefined ? { spec, comment: `LiteLLM reads ${variable} where api_key is absent.` } : { spec };
}

interface SecretPart {
  readonly key: string;
  readonly field: SourceField | undefined;
  readonly variable: string;
  readonly isOptional?: true;
}

/** Makes a Secret of several fields, whose values are variables. */
function secretOf(name: string, parts: readonly SecretPart[], { secrets }: LiteLlmSource): ObjectDraft {
  const variables = parts.flatMap(({ key, field, variable, isOptional }) =>
    field === undefined && isOptional
      ? []
      : [{ key, field, variable: field === undefined ? variable : secrets.variable(field, variable) }],
  );
  const secret = secrets.secret(name, Object.fromEntries(variables.map((each) => [each.key, `\${${each.variable}}`])));
  for (const { key, field, variable } of variables) {
    if (field !== undefined) {
      SecretDrafts.report(field, secret, key, variable);
    }
  }
  return secret;
}

function awsCredential(fields: DeploymentFields, source: LiteLlmSource): DraftCredential {
  const region = awsRegion(fields, source);
  const key = fields.at('api_key', 'aws_bedrock_bearer_token');
  if (key !== undefined) {
    const variable = source.secrets.variable(key, 'AWS_BEARER_TOKEN_BEDROCK');
    const secret = source.secrets.secret(variable, { apiKey: `\${${variable}}` });
    SecretDrafts.report(key, secret, 'apiKey', variable);
    return { spec: { type: 'APIKey', apiKey: { secretRef: { name: secret.object.metadata.name } } } };
  }
  const role = settingOf(fields.at('aws_role_name'), source);
  const secret = secretOf(
    'aws-access-key',
    [
      { key: 'accessKeyID', field: fields.at('aws_access_key_id'), variable: 'AWS_ACCESS_KEY_ID' },
      { key: 'secretAccessKey', field: fields.at('aws_secret_access_key'), variable: 'AWS_SECRET_ACCESS_KEY' },
      {
        key: 'sessionToken',
        field: fields.at('aws_session_token'),
        variable: 'AWS_SESSION_TOKEN',
        isOptional: true,
      },
    ],
    source,
  );
  const isRole = role !== undefined && /^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[A-Za-z0-9_+=,.@/-]+$/.test(role);
  const aws = {
    region,
    accessKey: { secretRef: { name: secret.object.metadata.name } },
    ...(isRole && { roleARN: role }),
  };
  const comment =
    fields.at('aws_access_key_id') === undefined
      ? 'LiteLLM takes what the AWS SDK finds. This names an access key; without accessKey, the gateway uses its own identity.'
      : undefined;
  return { spec: { type: 'AWS', aws }, ...(comment !== undefined && { comment }) };
}

const AWS_REGION = /^[a-z]{2,4}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$/;

/** The region of a Bedrock deployment: its field, its model, or LiteLLM's variable. */
export function awsRegion(fields: DeploymentFields, source: LiteLlmSource): string {
  const inModel = /\/([a-z]{2}(?:-[a-z]+)+-[0-9]+)\//.exec(`/${fields.at('model')?.text ?? ''}`)?.[1];
  const found =
    settingOf(fields.at('aws_region_name'), source) ?? inModel ?? source.environment('AWS_REGION_NAME') ?? '';
  return AWS_REGION.test(found) ? found : 'us-west-2';
}

function gcpCredential(fields: DeploymentFields, { secrets }: LiteLlmSource): DraftCredential {
  const key = fields.at('vertex_credentials');
  const text = key?.text ?? '';
  if (key === undefined) {
    return {
      spec: { type: 'GCP', gcp: {} },
      comment: "LiteLLM takes the application default credentials: this is the gateway's own identity.",
    };
  }
  const isPath = environmentVariable(text) === undefined && /^[^\s{}$]+$/.test(text);
  const variable = isPath ? '' : secrets.variable(key, 'VERTEX_CREDENTIALS');
  const secret = secrets.secret('vertex-key', { 'key.json': isPath ? `\${file:${text}}` : `\${${variable}}` });
  if (isPath) {
    key.becomes(secret.place(secret.object.stringData ?? secret.object, 'key.json'));
  } else {
    SecretDrafts.report(key, secret, 'key.json', variable);
  }
  return {
    spec: { type: 'GCP', gcp: { serviceAccountKey: { secretRef: { name: secret.object.metadata.name } } } },
  };
}

const CLIENT_ID = /^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/;

function entraCredential(fields: DeploymentFields, source: LiteLlmSource): DraftCredential | undefined {
  const [tenant, client] = [fields.at('tenant_id'), fields.at('client_id')];
  const clientSecret = fields.at('client_secret');
  if (tenant === undefined || client === undefined) {
    return undefined;
  }
  const [tenantId, clientId] = [settingOf(tenant, source) ?? '', settingOf(client, source) ?? ''];
  if (!/^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$/.test(tenantId) || !CLIENT_ID.test(clientId)) {
    const fix = 'set the variables for the converter, or write credential.azureEntra of the AIBackend';
    for (const field of [tenant, client, clientSecret]) {
      field?.hasNoEqual('the ids of tenant and application are not known', fix);
    }
    return undefined;
  }
  const secret =
    clientSecret &&
    secretOf(
      'azure-application',
      [{ key: 'clientSecret', field: clientSecret, variable: 'AZURE_CLIENT_SECRET' }],
      source,
    );
  return {
    spec: {
      type: 'AzureEntra',
      azureEntra: {
        tenantID: tenantId,
        clientID: clientId,
        ...(secret && { clientSecretRef: { name: secret.object.metadata.name } }),
      },
    },
  };
}
