/** Links backends: resolves their references and compiles what extproc and Envoy need. */

import { knownToken, type WantedToken } from '../../contract/cloud-tokens.ts';
import { CLIENT_HEADERS, CREDENTIAL_HEADERS } from '../../contract/headers.ts';
import { nanoUnits } from '../../contract/money.ts';
import type { BackendPolicy, LabelSource, ModelFacts, ProviderApi } from '../../contract/policy.ts';
import type { ModelPrices, PriceChange, PriceTier, TokenPrices } from '../../contract/tokens.ts';
import type { BackendSpec } from '../../crds/backend.ts';
import type { AIBackend } from '../../crds/kinds.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { byName, fullName } from '../object-names.ts';
import type { ProblemFields } from '../problem.ts';
import type { Located } from '../world.ts';
import { type CatalogModel, catalogModel, priceCatalog } from './catalog.ts';
import { reportToken, wantedTokenOf } from './cloud-tokens.ts';
import { apiKeyCredential, bearer, type Credential } from './credentials.ts';
import { type Endpoint, endpointOf } from './endpoints.ts';

export interface LinkedBackend {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly backend: Located<AIBackend>;
  /**
   * Absent if the backend is not usable; a problem then has the cause, or there is no token yet.
   */
  readonly usable?: UsableBackend;
  /** The token of a cloud that is its credential. */
  readonly wanted?: WantedToken;
}

export interface UsableBackend {
  readonly policy: BackendPolicy;
  readonly endpoint: Endpoint;
  readonly credential?: Credential;
  /** Whether the provider receives the client's own credential. */
  readonly forwardsCredentials: boolean;
  readonly rewrite?: PathRewrite;
}

/** Returns the client's headers that the provider does not receive. */
export function removedHeaders({ forwardsCredentials }: UsableBackend): readonly string[] {
  return forwardsCredentials ? CLIENT_HEADERS.filter((name) => !CREDENTIAL_HEADERS.includes(name)) : CLIENT_HEADERS;
}

/** Replaces the path prefix `from` by `to`; both end in a slash. */
export interface PathRewrite {
  readonly from: string;
  readonly to: string;
}

export function linkBackends(
  backends: readonly Located<AIBackend>[],
  context: TranslationContext,
): readonly LinkedBackend[] {
  return backends.toSorted(byName).map((backend) => {
    const name = fullName(backend);
    const refuse = (details: ProblemFields): undefined => {
      context.diagnostics.error(subject('AIBackend', backend), details);
      return undefined;
    };
    const endpoint = endpointOf(backend, context, refuse);
    const apiKey = apiKeyCredential(backend, context.resources, refuse);
    const wanted = endpoint && wantedTokenOf(backend, endpoint, context, refuse);
    if (endpoint === undefined || apiKey === undefined || wanted === undefined) {
      return { name, backend };
    }
    const credential = wanted === 'none' ? apiKey : tokenCredential(wanted, backend, context);
    if (credential === undefined) {
      return { name, backend, ...(wanted !== 'none' && { wanted }) };
    }
    const rewrite = rewriteOf(backend.spec);
    return {
      name,
      backend,
      usable: {
        policy: backendPolicy(name, backend.spec),
        endpoint,
        ...(credential !== 'none' && { credential }),
        forwardsCredentials: backend.spec.credential?.type === 'Passthrough',
        ...(rewrite && { rewrite }),
      },
      ...(wanted !== 'none' && { wanted }),
    };
  });
}

/** Returns undefined while there is no token. */
function tokenCredential(
  wanted: WantedToken,
  backend: Located<AIBackend>,
  context: TranslationContext,
): Credential | undefined {
  reportToken(wanted, backend, context);
  const token = knownToken(context.tokens, wanted)?.token;
  return token && bearer(token.reveal());
}

/** Returns the tokens that the backends need, sorted by backend. */
export function wantedTokens(backends: readonly LinkedBackend[]): readonly WantedToken[] {
  return backends.flatMap(({ wanted }) => wanted ?? []);
}

function backendPolicy(name: string, spec: BackendSpec): BackendPolicy {
  const { encoding = 'Auto', factorPercent } = spec.tokenizer ?? {};
  const { apiVersion = 'v1' } = spec.azure ?? {};
  const labels = spec.requestLabels ?? [];
  return {
    name,
    schema: spec.schema,
    ...(spec.dialect !== undefined && { dialect: spec.dialect }),
    ...(apiVersion !== 'v1' && { azureApiVersion: apiVersion }),
    tokenizer: { encoding, ...(factorPercent !== undefined && { factorPercent }) },
    models: modelFactsOf(spec),
    ...(labels.length > 0 && {
      requestLabels: labels.map((label) => ({ name: label.name, source: labelSource(label) })),
    }),
  };
}

function labelSource({ type, value, claim }: NonNullable<BackendSpec['requestLabels']>[number]): LabelSource {
  switch (type) {
    case 'Value':
      return { type, value: value ?? '' };
    case 'Claim':
      return { type, claim: claim?.name ?? '' };
    default:
      return { type };
  }
}

/** Returns the facts of the models: the entries of the backend, then those of its catalog. */
function modelFactsOf({ models = [], catalog }: BackendSpec): readonly ModelFacts[] {
  const listed = catalog === undefined ? [] : priceCatalog.providers[catalog];
  const own = models.map((model) => ownFacts(model, listed));
  const names = new Set(models.map(({ name }) => name));
  return [...own, ...listed.filter(({ name }) => !names.has(name)).map(catalogFacts)];
}

type ModelSpec = NonNullable<BackendSpec['models']>[number];

/** Takes from the catalog what an entry with an exact name leaves out. */
function ownFacts(model: ModelSpec, listed: readonly CatalogModel[]): ModelFacts {
  const { name, maxOutputTokens, reasoningTokens } = model;
  const known = name.includes('*') ? undefined : catalogModel(listed, name);
  const fromCatalog: Partial<ModelFacts> = known === undefined ? {} : catalogFacts(known);
  const contextTokens = model.contextTokens ?? fromCatalog.contextTokens;
  const prices = model.prices === undefined ? fromCatalog.prices : modelPrices(model.prices);
  const changes = model.priceChanges ?? [];
  return {
    name,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(contextTokens !== undefined && { contextTokens }),
    reasoningTokens,
    ...(prices !== undefined && { prices }),
    ...(changes.length > 0 && {
      priceChanges: changes.map(priceChange).sort((one, other) => one.fromMs - other.fromMs),
    }),
  };
}

function priceChange({ validFrom, ...prices }: NonNullable<ModelSpec['priceChanges']>[number]): PriceChange {
  return { fromMs: Date.parse(validFrom), prices: modelPrices(prices) };
}

function catalogFacts({ name, contextTokens, prices }: CatalogModel): ModelFacts {
  return {
    name,
    ...(contextTokens !== undefined && { contextTokens }),
    reasoningTokens: 'Auto',
    ...(prices !== undefined && { prices: { ...modelPrices(prices), catalog: priceCatalog.source } }),
  };
}

type PricesSpec = NonNullable<ModelSpec['prices']>;

function modelPrices(prices: PricesSpec | NonNullable<CatalogModel['prices']>): ModelPrices {
  const { currency, perRequest } = prices;
  const serviceTiers = 'serviceTiers' in prices ? (prices.serviceTiers ?? []) : [];
  return {
    currency,
    ...priceTier(prices),
    ...(perRequest !== undefined && { perRequest: nanoUnits(perRequest) }),
    ...(serviceTiers.length > 0 && {
      serviceTiers: serviceTiers.map((tier) => ({ name: tier.name, ...priceTier(tier) })),
    }),
  };
}

function priceTier({ perMillionTokens, longContext }: Pick<PricesSpec, 'perMillionTokens' | 'longContext'>): PriceTier {
  return {
    perMillionTokens: tokenPrices(perMillionTokens),
    ...(longContext !== undefined && {
      longContext: {
        aboveInputTokens: longContext.aboveInputTokens,
        perMillionTokens: tokenPrices(longContext.perMillionTokens),
      },
    }),
  };
}

function tokenPrices(decimals: PricesSpec['perMillionTokens']): TokenPrices {
  const kinds = Object.entries(decimals).flatMap(([kind, price]) =>
    price === undefined ? [] : [[kind, nanoUnits(price)]],
  );
  return Object.fromEntries(kinds);
}

/** These providers have their version at the start of all paths, as part of the base URL. */
const VERSIONED: readonly ProviderApi[] = ['OpenAI', 'GCPVertexAI', 'AzureOpenAI'];

/** Providers whose base URL has another path than `/v1`, or none. */
function rewriteOf(spec: BackendSpec): PathRewrite | undefined {
  const prefix = spec.pathPrefix ?? defaultPrefix(spec);
  if (prefix === undefined) {
    return undefined;
  }
  const to = prefix.endsWith('/') ? prefix : `${prefix}/`;
  const from = VERSIONED.includes(spec.schema) ? '/v1/' : '/';
  return to === from ? undefined : { from, to };
}

/** Where these providers serve OpenAI's API. */
const dialectPrefixes: Readonly<Partial<Record<NonNullable<BackendSpec['dialect']>, string>>> = {
  Fireworks: '/inference/v1',
  Groq: '/openai/v1',
  OpenRouter: '/api/v1',
};

/** extproc writes `/v1/deployments/…` for a dated API version. */
function defaultPrefix({ schema, dialect, azure }: BackendSpec): string | undefined {
  if (schema !== 'AzureOpenAI') {
    return dialect && dialectPrefixes[dialect];
  }
  return isDated(azure?.apiVersion) ? '/openai' : '/openai/v1';
}

function isDated(apiVersion = 'v1'): boolean {
  return apiVersion !== 'v1' && apiVersion !== 'preview';
}
