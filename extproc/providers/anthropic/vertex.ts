/**
 * Claude on Vertex AI: Anthropic's messages API, whose path names the model and whose body names
 * the version: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai
 */
import type { BackendApi } from '../openai/server-dialects.ts';

export const VERTEX_VERSION = 'vertex-2023-10-16';

const MODELS = '/v1/publishers/anthropic/models';

/** Of the models on Vertex AI, only Claude speaks Anthropic's API. */
export function isOnVertex({ schema }: BackendApi): boolean {
  return schema === 'GCPVertexAI';
}

/** The name of the model may be the client's choice, so it is one segment of the path. */
export function vertexMessagesPath(model: string, stream: boolean): string {
  // As Google writes versions: claude-sonnet-4-5@20250929.
  const name = encodeURIComponent(model.toWellFormed()).replaceAll('%40', '@');
  return `${MODELS}/${name}:${stream ? 'streamRawPredict' : 'rawPredict'}`;
}

/** The body names the model whose tokens are counted. */
export const VERTEX_COUNT_PATH = `${MODELS}/count-tokens:rawPredict`;
