/**
 * All client APIs. Selects one by a request's method and path, and by its headers where two
 * families share a path.
 */
import type { ClientApi, Dialect } from './adapter.ts';
import { anthropicDialect } from './anthropic/errors.ts';
import { countTokens, messages } from './anthropic/messages.ts';
import { models as anthropicModels } from './anthropic/models.ts';
import { batchEmbedEndpoints, embedContentEndpoints } from './gemini/embed-content.ts';
import { googleDialect } from './gemini/errors.ts';
import { contentEndpoints, countContentEndpoints } from './gemini/generate-content.ts';
import { models as googleModels } from './gemini/model-list.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { openAiDialect } from './openai/errors.ts';
import { imageEdits } from './openai/image-edits.ts';
import { imageGenerations } from './openai/images.ts';
import { models as openAiModels } from './openai/models.ts';
import { moderations } from './openai/moderations.ts';
import { rerank } from './openai/rerank.ts';
import { responses } from './openai/responses.ts';
import { speech } from './openai/speech.ts';
import { transcripts } from './openai/transcripts.ts';
import { ownEndpoints } from './own-endpoints.ts';
import { type PathPattern, pathPattern } from './path-pattern.ts';
import { tgiDialect } from './tgi/errors.ts';
import { generateEndpoints } from './tgi/generate.ts';

export const endpoints: readonly ClientApi[] = [
  chat,
  completions,
  embeddings,
  responses,
  rerank,
  imageGenerations,
  imageEdits,
  speech,
  ...transcripts,
  moderations,
  messages,
  countTokens,
  ...generateEndpoints,
  ...contentEndpoints,
  ...countContentEndpoints,
  ...embedContentEndpoints,
  ...batchEmbedEndpoints,
  ...openAiModels,
  ...anthropicModels,
  ...googleModels,
  ...ownEndpoints,
];

export interface ClientApiMatch {
  readonly endpoint: ClientApi;
}

/** Returns the value of a request header, by its lower-case name. */
export type HeaderLookup = (name: string) => string | undefined;

/** Headers that every client of a family sends, and no other family's client does. */
const ANTHROPIC_HEADER = 'anthropic-version';
const GOOGLE_HEADER = 'x-goog-api-client';

/** Client APIs by method and path, and those whose path has names, by its beginning. */
const exact = new Map<string, ClientApiMatch[]>();
const patterns = new Map<string, NamedPath[]>();

interface NamedPath {
  readonly pattern: PathPattern;
  readonly found: ClientApiMatch[];
}

for (const endpoint of endpoints) {
  const pattern = pathPattern(endpoint.path);
  const key = `${endpoint.method} ${pattern.prefix}`;
  if (pattern.exact) {
    exact.set(key, [...(exact.get(key) ?? []), { endpoint }]);
    continue;
  }
  const named = patterns.get(key) ?? [];
  patterns.set(key, named);
  const same = named.find(({ found }) => found[0]!.endpoint.path === endpoint.path);
  if (same === undefined) {
    named.push({ pattern, found: [{ endpoint }] });
  } else {
    same.found.push({ endpoint });
  }
}

/**
 * Returns the client API of a request; `path` may have a query. A table lookup, except for paths
 * that name a model.
 */
export function findEndpoint(method: string, path: string, header: HeaderLookup): ClientApiMatch | undefined {
  const bare = path.split('?', 1)[0] as string;
  const found = exact.get(`${method} ${bare}`) ?? foundByPattern(method, bare);
  if (found === undefined || found.length === 1) {
    return found?.[0];
  }
  const wanted = familyOf(header) ?? 'openai';
  return found.find(({ endpoint }) => endpoint.dialect.name === wanted) ?? found[0];
}

function familyOf(header: HeaderLookup): Dialect['name'] | undefined {
  if (header(ANTHROPIC_HEADER) !== undefined) {
    return 'anthropic';
  }
  return header(GOOGLE_HEADER) === undefined ? undefined : 'google';
}

function foundByPattern(method: string, path: string): ClientApiMatch[] | undefined {
  const start = `${method} ${path}`;
  for (const [key, named] of patterns) {
    if (start.startsWith(key)) {
      const match = named.find(({ pattern }) => pattern.matches(path));
      if (match !== undefined) {
        return match.found;
      }
    }
  }
  return undefined;
}

/** Paths of Google's APIs, as far as Envoy can tell them. */
const GOOGLE_PATH = /^\/v1beta|:(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)/;

/** Returns the dialect for requests to unknown paths. */
export function dialectFor(path: string, header: HeaderLookup): Dialect {
  const family = familyOf(header);
  if (path.startsWith('/v1/messages') || family === 'anthropic') {
    return anthropicDialect;
  }
  if (path.startsWith('/generate')) {
    return tgiDialect;
  }
  return family === 'google' || GOOGLE_PATH.test(path) ? googleDialect : openAiDialect;
}
