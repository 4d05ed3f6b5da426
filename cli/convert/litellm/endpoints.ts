/** Where the deployments of LiteLLM are. */
import { type BaseUrl, baseUrl } from '../base-url.ts';
import type { Place } from '../draft.ts';
import { labelOf } from '../names.ts';
import { environmentVariable } from '../secrets.ts';
import { awsRegion } from './credentials.ts';
import type { DeploymentFields } from './deployment-fields.ts';
import type { NamedProvider } from './providers.ts';
import { type LiteLlmSource, settingOf } from './source.ts';

export interface DeploymentEndpoint extends BaseUrl {
  readonly pathPrefix?: string;
  /** Why the host is only a placeholder. */
  readonly missing?: string;
}

const baseFields = ['api_base', 'base_url', 'aws_bedrock_runtime_endpoint'] as const;

/** Returns the endpoint of a deployment; a host that does not exist if the source names none. */
export function endpointOfDeployment(
  fields: DeploymentFields,
  named: NamedProvider,
  source: LiteLlmSource,
): DeploymentEndpoint {
  const field = fields.at(...baseFields);
  const stated = settingOf(field, source);
  const url = stated === undefined ? undefined : baseUrl(stated);
  const defaults = defaultUrl(fields, named, source);
  if (url === undefined && field === undefined && defaults !== undefined) {
    return defaults;
  }
  if (url === undefined) {
    const variable = environmentVariable(field?.text ?? '') ?? `${named.name.toUpperCase()}_API_BASE`;
    const missing =
      field !== undefined && stated !== undefined
        ? `${JSON.stringify(stated)} is no URL with a host`
        : `the host is in the variable ${variable}, which is not set here`;
    return { host: `${labelOf(variable)}.invalid`, isPlain: false, path: '', missing };
  }
  return { ...url, ...prefixOf(url, named, defaults) };
}

function prefixOf({ path }: BaseUrl, { provider }: NamedProvider, defaults: DeploymentEndpoint | undefined) {
  switch (provider.schema) {
    case 'OpenAI': {
      if (provider.dialect === 'Ollama') {
        return {};
      }
      const isDefault = path === '/v1' && provider.dialect === undefined;
      return isDefault ? {} : { pathPrefix: path === '' ? '/' : path };
    }
    case 'GCPVertexAI':
      return defaults?.pathPrefix === undefined ? {} : { pathPrefix: defaults.pathPrefix };
    case 'Anthropic': {
      const prefix = path.replace(/\/v1(\/messages)?$/, '');
      return prefix === '' ? {} : { pathPrefix: prefix };
    }
    case 'HuggingFaceTGI':
      return path === '' || path === '/v1' ? {} : { pathPrefix: path.replace(/\/v1(\/.*)?$/, '') };
    default:
      // LiteLLM writes the paths of these APIs itself.
      return {};
  }
}

function defaultUrl(
  fields: DeploymentFields,
  { provider }: NamedProvider,
  source: LiteLlmSource,
): DeploymentEndpoint | undefined {
  if (provider.schema === 'AWSBedrock') {
    return { host: `bedrock-runtime.${awsRegion(fields, source)}.amazonaws.com`, isPlain: false, path: '' };
  }
  if (provider.schema === 'GCPVertexAI') {
    return vertexUrl(fields, source);
  }
  if (provider.dialect === 'Ollama') {
    return { host: 'localhost', port: 11_434, isPlain: true, path: '' };
  }
  const { host, pathPrefix } = provider;
  return host === undefined ? undefined : { host, isPlain: false, path: '', ...(pathPrefix && { pathPrefix }) };
}

function vertexUrl(fields: DeploymentFields, source: LiteLlmSource): DeploymentEndpoint {
  const named = (text: string | undefined) => (/^[a-z0-9][-a-z0-9]*$/.test(text ?? '') ? text : undefined);
  const location = named(settingOf(fields.at('vertex_location', 'vertex_ai_location'), source)) ?? 'us-central1';
  const project = named(settingOf(fields.at('vertex_project', 'vertex_ai_project'), source));
  return {
    host: location === 'global' ? 'aiplatform.googleapis.com' : `${location}-aiplatform.googleapis.com`,
    isPlain: false,
    path: '',
    pathPrefix: `/v1/projects/${project ?? 'PROJECT'}/locations/${location}`,
    ...(project === undefined && { missing: 'the project is not known' }),
  };
}

/** Leaves the verdicts on the fields that name the endpoint. */
export function reportEndpoint(fields: DeploymentFields, url: DeploymentEndpoint, endpoint: Place, path: Place): void {
  const field = fields.at(...baseFields) ?? fields.at('model');
  if (url.missing !== undefined) {
    const isVertex = url.pathPrefix !== undefined;
    field?.differs(isVertex ? path : endpoint, `A placeholder, because ${url.missing}: replace it.`);
  } else if (field !== fields.at('model')) {
    field?.becomes(endpoint);
  }
  for (const name of ['vertex_project', 'vertex_ai_project', 'vertex_location', 'vertex_ai_location']) {
    fields.at(name)?.becomes(path);
  }
}
