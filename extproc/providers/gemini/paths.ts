/** Where Google's APIs name the model: in the path, in a collection of models. */
import type { BackendApi } from '../openai/server-dialects.ts';

/**
 * The Gemini API of Google AI Studio, and Vertex AI with a project and in express mode. The backend
 * has the project, so a client's own is ignored.
 */
const COLLECTIONS: readonly string[] = ['v1beta', 'v1', 'v1beta1'].flatMap((version) => [
  `/${version}/models`,
  `/${version}/publishers/google/models`,
  `/${version}/projects/{project}/locations/{location}/publishers/google/models`,
]);

/** Returns the paths of a method in all collections. */
export function methodPaths(method: string): readonly string[] {
  return COLLECTIONS.map((collection) => `${collection}/{model}:${method}`);
}

const COLLECTION = /^\/[^/]+\/(?:projects\/[^/]+\/locations\/[^/]+\/)?(?:publishers\/google\/)?models\//;

/** Returns the model that a path names, which may contain slashes, escaped or not. */
export function modelOfPath(path: string): string {
  const name = path.slice(COLLECTION.exec(path)?.[0].length ?? 0, path.lastIndexOf(':'));
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/**
 * Returns the path of a method for a backend. The name of the model may be the client's choice, so
 * it is one segment of the path.
 */
export function methodPath({ schema }: BackendApi, model: string, method: string): string {
  const collection = schema === 'GCPVertexAI' ? '/v1/publishers/google/models' : '/v1beta/models';
  const name = encodeURIComponent(model.replace(/^models\//, '').toWellFormed());
  return `${collection}/${name}:${method}`;
}

export function generatePath(backend: BackendApi, model: string, stream: boolean): string {
  return methodPath(backend, model, stream ? `${STREAM}?${AS_EVENTS}` : GENERATE);
}

export const GENERATE = 'generateContent';
export const STREAM = 'streamGenerateContent';

/** Without this query, a stream is one JSON array. */
const AS_EVENTS = 'alt=sse';
