/** The context of every step of a translation. */
import type { DeploymentMode } from './deployment-mode.ts';
import { type Diagnostics, newDiagnostics } from './diagnostics.ts';
import { type ApiKeyIndex, indexApiKeys } from './link/api-keys.ts';
import { indexResources, type ResourceIndex } from './resource-index.ts';
import type { World } from './world.ts';

export interface TranslationContext {
  readonly mode: DeploymentMode;
  readonly resources: ResourceIndex;
  readonly apiKeys: ApiKeyIndex;
  readonly jwks: World['jwks'];
  readonly tokens: World['tokens'];
  readonly diagnostics: Diagnostics;
}

export function newContext(world: World, mode: DeploymentMode): TranslationContext {
  return {
    mode,
    resources: indexResources(world),
    apiKeys: indexApiKeys(world.apiKeySecrets, mode),
    jwks: world.jwks,
    tokens: world.tokens,
    diagnostics: newDiagnostics(),
  };
}
