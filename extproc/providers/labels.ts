/** Labels of a request, which the provider shows on its bill or in its logs. */

/** By name; undefined: the request has no such label, and the client may not set it. */
export type RequestLabels = Readonly<Record<string, string | undefined>>;

/** For Claude on Vertex AI: a JSON object in base64. */
export const VERTEX_LABELS_HEADER = 'x-vertex-ai-labels';

/** Returns the labels that the request has; undefined: none. */
export function presentLabels(labels: RequestLabels | undefined): RequestLabels | undefined {
  const present = Object.entries(labels ?? {}).filter(([, value]) => value !== undefined);
  return present.length === 0 ? undefined : Object.fromEntries(present);
}

/**
 * Returns the headers with the labels of a request to Claude on Vertex AI:
 * https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls
 */
export function vertexLabelHeaders(labels: RequestLabels | undefined): readonly (readonly [string, string])[] {
  const present = presentLabels(labels);
  return present === undefined ? [] : [[VERTEX_LABELS_HEADER, Buffer.from(JSON.stringify(present)).toString('base64')]];
}
