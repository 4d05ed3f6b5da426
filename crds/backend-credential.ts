/** The credential of an AIBackend: a key, a short-lived token of a cloud, or that of the client. */
import { z } from 'zod';
import { dnsLabel, headerName, objectName, unionMember, withRules } from './schema.ts';

export const grantNeeded =
  "Default: the backend's own namespace. Another namespace needs a ReferenceGrant in that namespace.";

/** A reference to a Secret whose keys in `data` the credential defines. */
const secretName = {
  namespace: dnsLabel.meta({ description: grantNeeded }).optional(),
  name: objectName,
};

const secretKey = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[-._a-zA-Z0-9]+$/, 'must be a key of the Secret');

const apiKey = z
  .object({
    secretRef: z
      .object({ ...secretName, key: secretKey.default('apiKey') })
      .meta({ description: 'The Secret that holds the bare API key, and the key in its data.' }),
    header: z
      .object({
        name: headerName,
        prefix: z
          .string()
          .max(32)
          .regex(/^[ -~]*$/, 'must be printable characters')
          .default('')
          .meta({ description: 'Text before the API key, for example "Bearer ".' }),
      })
      .meta({
        description:
          'The header that carries the key. Default: `authorization: Bearer KEY` for OpenAI, HuggingFaceTGI, AWSBedrock, GCPVertexAI and Cohere, `x-api-key: KEY` for Anthropic, `x-goog-api-key: KEY` for GoogleGemini, `api-key: KEY` for AzureOpenAI.',
      })
      .optional(),
  })
  .meta({ description: 'An API key, sent in a request header.' });

const ownIdentity = "Absent: the gateway's own identity, which the operator must allow for the namespace.";

const azureEntra = z
  .object({
    tenantID: z
      .string()
      .min(1)
      .max(253)
      .regex(/^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$/, 'must be the id or a domain of a tenant')
      .meta({ description: 'The id of the tenant (directory), or one of its domains.' }),
    clientID: z
      .string()
      .max(36)
      .regex(/^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/, 'must be the id of an application')
      .meta({ description: 'The id of the application, or of the user-assigned managed identity.' }),
    clientSecretRef: z
      .object({ ...secretName, key: secretKey.default('clientSecret') })
      .meta({ description: `The Secret with a client secret of the application. ${ownIdentity}` })
      .optional(),
    cloud: z
      .enum(['Public', 'USGovernment', 'China'])
      .default('Public')
      .meta({ description: 'The cloud of the tenant, which decides where tokens come from.' }),
    scope: z
      .string()
      .max(256)
      .regex(/^[a-z]+:\/\/[-A-Za-z0-9._~/]+\/\.default$/, 'must be a resource with /.default')
      .meta({
        description:
          'What the token is for. Default: https://cognitiveservices.azure.com/.default, or the same resource of the other clouds.',
      })
      .optional(),
  })
  .meta({ description: 'An application in Microsoft Entra ID.' });

const aws = z
  .object({
    region: z
      .string()
      .max(32)
      .regex(/^[a-z]{2,4}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$/, 'must be a region such as eu-central-1')
      .meta({ description: 'The region of the endpoint.' }),
    accessKey: z
      .object({
        secretRef: z.object(secretName).meta({
          description:
            'The Secret with the keys `accessKeyID`, `secretAccessKey` and, for temporary credentials, `sessionToken`.',
        }),
      })
      .meta({ description: `An access key. ${ownIdentity}` })
      .optional(),
    roleARN: z
      .string()
      .max(512)
      .regex(/^arn:aws[a-z-]{0,16}:iam::[0-9]{12}:role\/[A-Za-z0-9_+=,.@/-]+$/, 'must be the ARN of a role')
      .meta({
        description:
          'The role to assume with the access key or the own identity. The external id is the namespace of the AIBackend.',
      })
      .optional(),
  })
  .meta({ description: 'An identity of AWS that may call Amazon Bedrock.' });

const gcp = z
  .object({
    serviceAccountKey: z
      .object({
        secretRef: z
          .object({ ...secretName, key: secretKey.default('key.json') })
          .meta({ description: 'The Secret with the key file (JSON) of a service account.' }),
      })
      .meta({ description: `A key of a service account. ${ownIdentity}` })
      .optional(),
  })
  .meta({ description: 'An identity of Google Cloud.' });

const credentialFields = z
  .object({
    type: z.enum(['APIKey', 'AzureEntra', 'AWS', 'GCP', 'Passthrough']).meta({
      description:
        "APIKey: the gateway's key; the client's credentials are removed. AzureEntra, AWS, GCP: short-lived tokens of the cloud, which the gateway fetches and renews. Passthrough: the provider receives the client's own `authorization`, `x-api-key`, `api-key` and `x-goog-api-key`. If these are credentials of the gateway, the provider can use them.",
    }),
    apiKey: apiKey.optional(),
    azureEntra: azureEntra.optional(),
    aws: aws.optional(),
    gcp: gcp.optional(),
  })
  .meta({
    description: "The credential for the provider. Absent: none; the client's credentials are removed.",
  });

export const credential = withRules(credentialFields, [
  unionMember<z.output<typeof credentialFields>>('APIKey', 'apiKey'),
  unionMember<z.output<typeof credentialFields>>('AzureEntra', 'azureEntra'),
  unionMember<z.output<typeof credentialFields>>('AWS', 'aws'),
  unionMember<z.output<typeof credentialFields>>('GCP', 'gcp'),
]);
