/** AIServiceBackends, with their Backends and policies, become AIBackends. */
import { backendSpec } from '../../../crds/backend.ts';
import { azureVersion } from '../azure-version.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import type { SourceField } from '../source-field.ts';
import { foreignCredential } from './credentials.ts';
import { endpointOfBackend } from './endpoints.ts';
import { type ForeignResource, type ForeignResources, targetsOf } from './resources.ts';
import type { ForeignSecrets } from './secrets.ts';

const schemas: Readonly<Record<string, { readonly schema: string; readonly how?: string }>> = {
  OpenAI: { schema: 'OpenAI' },
  Anthropic: { schema: 'Anthropic' },
  Cohere: { schema: 'Cohere' },
  AzureOpenAI: { schema: 'AzureOpenAI' },
  AWSBedrock: { schema: 'AWSBedrock' },
  AWSAnthropic: { schema: 'AWSBedrock', how: 'Requests of Anthropic clients are converted to Converse.' },
  GCPVertexAI: { schema: 'GCPVertexAI' },
  GCPAnthropic: { schema: 'GCPVertexAI', how: 'Models whose names start with claude are Claude on Vertex AI.' },
  GoogleAIStudio: { schema: 'GoogleGemini' },
};

interface ForeignBackendSpec {
  readonly schema: string;
  readonly endpoint: object;
  pathPrefix?: string;
  azure?: object;
  credential?: object;
}

export interface ConvertedBackend extends Pick<ForeignResource, 'namespace' | 'name'> {
  readonly draft: ObjectDraft;
}

/** Undefined if Tallygate does not speak the API, or cannot reach the backend. */
export function foreignBackend(
  resource: ForeignResource,
  resources: ForeignResources,
  secrets: ForeignSecrets,
): ConvertedBackend | undefined {
  const { field, namespace, name } = resource;
  const schemaField = field.at('spec', 'schema');
  const known = schemas[schemaField?.at('name')?.text ?? ''];
  const endpoint = endpointOfBackend(resource, resources, secrets);
  if (known === undefined || endpoint === undefined) {
    const why = known === undefined ? 'Tallygate does not speak the API' : 'no Backend of the files has an address';
    field.hasNoEqual(why, 'write an AIBackend and add it to the route');
    return undefined;
  }
  const spec: ForeignBackendSpec = { schema: known.schema, endpoint: endpoint.spec };
  const draft = new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIBackend',
    metadata: { name, namespace },
    spec,
  });
  const place = (key: keyof ForeignBackendSpec) => draft.place(spec, key);
  endpoint.report(place('endpoint'));
  addPath(schemaField, spec, place);
  addCredential(resource, resources, secrets, spec, place);
  const nameField = schemaField?.at('name');
  if (known.how === undefined) {
    nameField?.becomes(place('schema'));
  } else {
    nameField?.differs(place('schema'), known.how);
  }
  reportRest(field);
  const { error } = backendSpec.safeParse(spec);
  if (error !== undefined) {
    const [{ path, message } = { path: [], message: '' }] = error.issues;
    field.hasNoEqual(`${path.join('.')} of its AIBackend ${message}`, 'correct it, or write an AIBackend');
    return undefined;
  }
  return { namespace, name, draft };
}

type PlaceOf = (key: keyof ForeignBackendSpec) => Place;

function addPath(schema: SourceField | undefined, spec: ForeignBackendSpec, place: PlaceOf): void {
  const version = schema?.at('version');
  const prefix = schema?.at('prefix');
  if (spec.schema === 'AzureOpenAI' && version !== undefined) {
    const apiVersion = azureVersion(version.text);
    if (apiVersion === undefined) {
      version.differs(place('schema'), "The v1 API, as Azure's version is older than Tallygate speaks.");
    } else {
      spec.azure = { apiVersion };
      version.becomes(place('azure'));
    }
  }
  // Early versions had the prefix in `version`.
  const stated = prefix ?? (spec.schema === 'OpenAI' && version?.text !== 'v1' ? version : undefined);
  const path = stated?.text === undefined ? undefined : `/${stated.text.replaceAll(/^\/+|\/+$/g, '')}`;
  if (path !== undefined && ['OpenAI', 'AzureOpenAI'].includes(spec.schema)) {
    spec.pathPrefix = path;
    stated?.becomes(place('pathPrefix'));
  } else if (path !== undefined && spec.schema === 'Anthropic' && path.endsWith('/v1')) {
    const before = path.slice(0, -3);
    if (before !== '') {
      spec.pathPrefix = before;
    }
    stated?.becomes(place(before === '' ? 'schema' : 'pathPrefix'));
  } else if (path !== undefined) {
    stated?.hasNoEqual('Tallygate writes the paths of this API itself', 'set pathPrefix of the AIBackend');
  }
  if (version !== undefined && version.verdicts.length === 0) {
    version.isNotNeeded('Tallygate speaks one version of the API');
  }
  schema
    ?.at('capabilities')
    ?.hasNoEqual('Tallygate chooses the conversion itself', 'see docs/reference/conversions.md');
}

function addCredential(
  resource: ForeignResource,
  resources: ForeignResources,
  secrets: ForeignSecrets,
  spec: ForeignBackendSpec,
  place: PlaceOf,
): void {
  const policy = policyOf(resource, resources);
  if (policy === undefined) {
    return;
  }
  const found = foreignCredential({ policy, schema: spec.schema, secrets });
  const type = policy.field.at('spec', 'type') ?? policy.field;
  const withCredential = found && {
    ...spec,
    credential: found.spec,
    ...(found.pathPrefix !== undefined && { pathPrefix: found.pathPrefix }),
  };
  const { error } = backendSpec.safeParse(withCredential ?? {});
  if (withCredential === undefined || error !== undefined) {
    const why =
      found === undefined
        ? 'Tallygate has no such credential'
        : `${error?.issues[0]?.path.join('.')} ${error?.issues[0]?.message}`;
    policy.field.hasNoEqual(why, `write credential of the AIBackend ${resource.name}`);
    return;
  }
  Object.assign(spec, withCredential);
  reportPolicy(policy, type, found?.how, place('credential'));
}

function reportPolicy(policy: ForeignResource, type: SourceField, how: string | undefined, place: Place): void {
  if (how === undefined) {
    type.becomes(place);
  } else {
    type.differs(place, how);
  }
  policy.field.at('spec', 'targetRefs')?.becomes(place);
  for (const [name, member] of policy.field.at('spec')?.members ?? []) {
    if (member.verdicts.length === 0 && name !== 'type') {
      member.becomes(place);
    }
  }
}

function policyOf(resource: ForeignResource, resources: ForeignResources): ForeignResource | undefined {
  const { field, namespace, name } = resource;
  const named = field.at('spec', 'backendSecurityPolicyRef');
  named?.isNotNeeded('the AIBackend has the credential itself');
  const found = resources
    .of('BackendSecurityPolicy')
    .find(
      (policy) =>
        policy.namespace === namespace &&
        (policy.name === named?.at('name')?.text ||
          targetsOf(policy).some(
            (target) => target.at('kind')?.text !== 'InferencePool' && target.at('name')?.text === name,
          )),
    );
  return found;
}

function reportRest(field: SourceField): void {
  const why = 'Tallygate changes no headers and members of requests';
  for (const name of ['headerMutation', 'bodyMutation', 'responseBodyMutation']) {
    field.at('spec', name)?.hasNoEqual(why, 'set them in the clients, or let the backend have its own endpoint');
  }
}
