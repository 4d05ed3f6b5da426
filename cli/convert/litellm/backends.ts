/** Deployments of LiteLLM become models of AIBackends. */
import { backendSpec } from '../../../crds/backend.ts';
import { modelName } from '../../../crds/schema.ts';
import { azureVersion, OLDEST_AZURE_VERSION } from '../azure-version.ts';
import { endpointOf } from '../base-url.ts';
import { ObjectDraft } from '../draft.ts';
import { UniqueLabels } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import { credentialOf, type DraftCredential } from './credentials.ts';
import { DeploymentFields } from './deployment-fields.ts';
import { type DeploymentEndpoint, endpointOfDeployment, reportEndpoint } from './endpoints.ts';
import { type DraftModel, modelFacts } from './model-facts.ts';
import { type NamedProvider, providerOf } from './providers.ts';
import { type LiteLlmSource, NAMESPACE, settingOf } from './source.ts';

export interface Deployment {
  readonly fields: DeploymentFields;
  readonly group: string;
  readonly backend: ObjectDraft;
  readonly named: NamedProvider;
  /** The provider's name of the model; absent for wildcards. */
  readonly model?: string;
}

interface BackendSpecDraft {
  models?: DraftModel[];
  [member: string]: unknown;
}

const MAX_MODELS = 256;

/** Makes the AIBackends of `model_list`: one for each endpoint and credential. */
export class BackendDrafts {
  readonly #source: LiteLlmSource;
  readonly #labels = new UniqueLabels();
  readonly #backends = new Map<string, { readonly draft: ObjectDraft; readonly spec: BackendSpecDraft }>();

  constructor(source: LiteLlmSource) {
    this.#source = source;
  }

  get drafts(): readonly ObjectDraft[] {
    return [...this.#backends.values()].map(({ draft }) => draft);
  }

  /** Undefined if Tallygate has no API for the deployment. */
  deployment(entry: SourceField): Deployment | undefined {
    const fields = new DeploymentFields(entry, this.#source);
    const group = entry.at('model_name')?.text;
    const model = fields.at('model');
    if (group === undefined || model?.text === undefined) {
      entry.hasNoEqual('model_name or litellm_params.model is missing', 'add it');
      return undefined;
    }
    const stated = fields.at('custom_llm_provider');
    const named = providerOf(settingOf(model, this.#source) ?? model.text, stated?.text);
    if (named === undefined) {
      const fix = 'if the provider serves one of its APIs, write an AIBackend and add it to the route';
      entry.hasNoEqual('Tallygate has no API of this provider', fix);
      return undefined;
    }
    const isWildcard = named.model.includes('*');
    if (!isWildcard && !modelName.safeParse(named.model).success) {
      entry.hasNoEqual('the name of the model has spaces or is too long', 'correct it');
      return undefined;
    }
    const backend = this.#backend(fields, named);
    if (backend === undefined) {
      return undefined;
    }
    const { draft, spec } = backend;
    stated?.becomes(draft.place(spec, 'schema'));
    const facts = modelFacts(fields, named.model, draft);
    spec.models ??= [];
    if (
      facts !== undefined &&
      spec.models.length < MAX_MODELS &&
      !spec.models.some(({ name }) => name === facts.name)
    ) {
      spec.models.push(facts);
    }
    if (spec.models.length === 0) {
      delete spec.models;
    }
    return { fields, group, backend: draft, named, ...(!isWildcard && { model: named.model }) };
  }

  #backend(fields: DeploymentFields, named: NamedProvider) {
    const url = endpointOfDeployment(fields, named, this.#source);
    const credential = credentialOf(fields, named, this.#source);
    const written = this.#spec(fields, named, url, credential);
    const { error } = backendSpec.safeParse(written);
    if (error !== undefined) {
      const [{ path, message } = { path: [], message: '' }] = error.issues;
      fields.entry.hasNoEqual(`${path.join('.')} of its AIBackend ${message}`, 'correct the deployment');
      return undefined;
    }
    const identity = JSON.stringify(written);
    const known = this.#backends.get(identity);
    const spec = known?.spec ?? written;
    const name = known?.draft.object.metadata.name ?? this.#labels.next(named.name);
    const object = {
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIBackend',
      metadata: { name, namespace: NAMESPACE },
      spec,
    };
    const backend = known ?? { draft: new ObjectDraft(object), spec };
    this.#backends.set(identity, backend);
    const { draft } = backend;
    const of = (key: string) => draft.place(spec, key);
    if (credential.comment !== undefined) {
      draft.comment(of('credential'), credential.comment);
    }
    reportEndpoint(fields, url, of('endpoint'), of('pathPrefix'));
    for (const field of ['tenant_id', 'client_id', 'aws_role_name', 'aws_region_name'].flatMap(
      (each) => fields.at(each) ?? [],
    )) {
      if (field.verdicts.length === 0) {
        field.becomes(of('credential'));
      }
    }
    reportAzureVersion(fields, named, draft, spec);
    return backend;
  }

  #spec(
    fields: DeploymentFields,
    { provider }: NamedProvider,
    url: DeploymentEndpoint,
    credential: DraftCredential,
  ): BackendSpecDraft {
    const { schema, dialect, catalog } = provider;
    const apiVersion =
      schema === 'AzureOpenAI' ? azureVersion(settingOf(fields.at('api_version'), this.#source)) : undefined;
    return {
      schema,
      ...(dialect !== undefined && { dialect }),
      endpoint: endpointOf(url),
      ...(url.pathPrefix !== undefined && { pathPrefix: url.pathPrefix }),
      ...(apiVersion !== undefined && { azure: { apiVersion } }),
      ...(credential.spec !== undefined && { credential: credential.spec }),
      ...(catalog !== undefined && { catalog }),
    };
  }
}

function reportAzureVersion(
  fields: DeploymentFields,
  named: NamedProvider,
  draft: ObjectDraft,
  spec: BackendSpecDraft,
): void {
  const field = fields.at('api_version');
  if (field === undefined) {
    return;
  }
  if (named.provider.schema !== 'AzureOpenAI') {
    field.isNotNeeded('only Azure has versions of its API');
  } else if (spec['azure'] !== undefined) {
    field.becomes(draft.place(spec, 'azure'));
  } else {
    const how = `Tallygate speaks the v1 API here, as Azure's version is older than ${OLDEST_AZURE_VERSION}.`;
    field.differs(draft.place(spec, 'schema'), how);
  }
}
