/** Endpoints to which the gateway replies itself. Errors have the form of the caller's API. */
import { WELL_KNOWN_PATH } from '../../contract/well-known.ts';
import { failure } from '../errors.ts';
import type { ClientApi } from './adapter.ts';
import { anthropicDialect } from './anthropic/errors.ts';
import { openAiDialect } from './openai/errors.ts';

/** Tells a caller what is left of its budgets. */
const QUOTA_PATH = '/v1/quota';

type OwnEndpoint = Omit<ClientApi, 'method' | 'shape' | 'readRequest' | 'edit'>;

export function ownEndpoint(api: OwnEndpoint): ClientApi {
  return {
    ...api,
    method: 'GET',
    shape: {},
    readRequest: () => failure('invalid_body', `A request for ${api.path} has no body.`),
    edit: () => [],
  };
}

export const ownEndpoints: readonly ClientApi[] = [openAiDialect, anthropicDialect].flatMap((dialect) => [
  ownEndpoint({ path: QUOTA_PATH, operation: 'read_quota', kind: 'quota', providerApis: [], dialect }),
  ownEndpoint({ path: WELL_KNOWN_PATH, operation: 'read_sign_in', kind: 'sign-in', providerApis: [], dialect }),
]);
