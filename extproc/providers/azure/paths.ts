/**
 * Where Azure OpenAI serves OpenAI's paths:
 * https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle
 */
import type { BackendPolicy } from '../../../contract/policy.ts';

const ROOT = '/v1';

/** With a dated API version, these paths name the deployment; elsewhere, the body does. */
const DEPLOYMENT_PATHS: ReadonlySet<string> = new Set(
  [
    '/chat/completions',
    '/completions',
    '/embeddings',
    '/images/generations',
    '/images/edits',
    '/audio/speech',
    '/audio/transcriptions',
    '/audio/translations',
  ].map((path) => ROOT + path),
);

/**
 * Returns the path for a backend, before Envoy replaces `/v1/`. Undefined: the path of the client
 * API serves.
 */
export function azurePath(
  { azureApiVersion: apiVersion }: BackendPolicy,
  path: string,
  deployment: string,
): string | undefined {
  if (apiVersion === undefined) {
    return undefined;
  }
  const named = apiVersion !== 'preview' && DEPLOYMENT_PATHS.has(path);
  const place = named ? `${ROOT}/deployments/${segment(deployment)}${path.slice(ROOT.length)}` : path;
  return `${place}?api-version=${apiVersion}`;
}

/** Clients choose the name where a rule has a glob. */
function segment(deployment: string): string {
  const encoded = encodeURIComponent(deployment.toWellFormed());
  // Dots would name another path, and no deployment.
  return /^\.{1,2}$/.test(encoded) ? '_' : encoded;
}
