/**
 * All client APIs. Selects one by a request's method and path, and by its headers where two
 * families share a path.
 */
import type { ClientApi, Dialect } from './adapter.ts';
import { anthropicDialect } from './anthropic/errors.ts';
import { countTokens, messages } from './anthropic/messages.ts';
import { models as anthropicModels } from './anthropic/models.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { openAiDialect } from './openai/errors.ts';
import { models as openAiModels } from './openai/models.ts';
import { responses } from './openai/responses.ts';
import { ownEndpoints } from './own-endpoints.ts';
import { tgiDialect } from './tgi/errors.ts';
import { generateEndpoints } from './tgi/generate.ts';

export const endpoints: readonly ClientApi[] = [
  chat,
  completions,
  embeddings,
  responses,
  messages,
  countTokens,
  ...generateEndpoints,
  ...openAiModels,
  ...anthropicModels,
  ...ownEndpoints,
];

export interface ClientApiMatch {
  readonly endpoint: ClientApi;
}

/** Returns the value of a request header, by its lower-case name. */
export type HeaderLookup = (name: string) => string | undefined;

/** Every Anthropic client sends this header, and no other provider's client does. */
const ANTHROPIC_HEADER = 'anthropic-version';

/** Client APIs by method and path; for a path that ends in `/{…}`, by the part before that. */
const exact = new Map<string, ClientApiMatch[]>();
const prefixes = new Map<string, ClientApiMatch[]>();

for (const endpoint of endpoints) {
  const brace = endpoint.path.indexOf('{');
  const table = brace < 0 ? exact : prefixes;
  const key = `${endpoint.method} ${brace < 0 ? endpoint.path : endpoint.path.slice(0, brace)}`;
  table.set(key, [...(table.get(key) ?? []), { endpoint }]);
}

/**
 * Returns the client API of a request; `path` may have a query. A table lookup, whose cost does not
 * depend on the path.
 */
export function findEndpoint(method: string, path: string, header: HeaderLookup): ClientApiMatch | undefined {
  const bare = path.split('?', 1)[0] as string;
  const found = exact.get(`${method} ${bare}`) ?? foundByPrefix(method, bare);
  if (found === undefined || found.length === 1) {
    return found?.[0];
  }
  const wanted = header(ANTHROPIC_HEADER) === undefined ? 'openai' : 'anthropic';
  return found.find(({ endpoint }) => endpoint.dialect.name === wanted) ?? found[0];
}

function foundByPrefix(method: string, path: string): ClientApiMatch[] | undefined {
  for (const [key, found] of prefixes) {
    const start = `${method} ${path}`;
    if (start.startsWith(key) && start.length > key.length) {
      return found;
    }
  }
  return undefined;
}

/** Returns the dialect for requests to unknown paths. */
export function dialectFor(path: string, header: HeaderLookup): Dialect {
  if (path.startsWith('/v1/messages') || header(ANTHROPIC_HEADER) !== undefined) {
    return anthropicDialect;
  }
  if (path.startsWith('/generate')) {
    return tgiDialect;
  }
  return openAiDialect;
}
