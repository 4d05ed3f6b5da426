/** Converts the token counts of Gemini's responses (`usageMetadata`). */
import type { MatchesByPath } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Usage } from '../../usage.ts';
import { below } from '../unary.ts';
import { numbersOf, toldTokens, type UsageNumbers } from '../usage.ts';

const MEMBER = 'usageMetadata';

/** The tokens of each modality are listed by side. */
const PROMPT = 'promptTokensDetails';
const CANDIDATES = 'candidatesTokensDetails';

const VALUE: Shape = { value: true };
const DETAILS: Shape = { items: { object: { modality: VALUE, tokenCount: VALUE } } };

export const GEMINI_USAGE_SHAPE: Shape = {
  object: {
    promptTokenCount: VALUE,
    candidatesTokenCount: VALUE,
    thoughtsTokenCount: VALUE,
    toolUsePromptTokenCount: VALUE,
    cachedContentTokenCount: VALUE,
    totalTokenCount: VALUE,
    trafficType: VALUE,
    serviceTier: VALUE,
    [PROMPT]: DETAILS,
    [CANDIDATES]: DETAILS,
  },
};

/**
 * Reads counts by name, and those of a modality as `promptTokensDetails.AUDIO`. Cached tokens are
 * part of the prompt; thoughts are beside the candidates.
 */
export function geminiUsage(numbers: UsageNumbers): Usage | undefined {
  const prompt = numbers.get('promptTokenCount');
  const total = numbers.get('totalTokenCount');
  if (prompt === undefined && total === undefined) {
    return undefined;
  }
  const thoughts = numbers.get('thoughtsTokenCount') ?? 0;
  const told = (numbers.get('candidatesTokenCount') ?? 0) + thoughts;
  const input = (prompt ?? 0) + (numbers.get('toolUsePromptTokenCount') ?? 0);
  return {
    input,
    // What is billed but not told by kind counts as output.
    output: Math.max(told, (total ?? 0) - input),
    cachedInput: Math.min(numbers.get('cachedContentTokenCount') ?? 0, input),
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: thoughts,
    audioInput: numbers.get(`${PROMPT}.AUDIO`) ?? 0,
    audioOutput: numbers.get(`${CANDIDATES}.AUDIO`) ?? 0,
    imageInput: numbers.get(`${PROMPT}.IMAGE`) ?? 0,
    imageOutput: numbers.get(`${CANDIDATES}.IMAGE`) ?? 0,
  };
}

/** Reads the usage that a scanner has found. */
export function scannedGeminiUsage(found: MatchesByPath): Usage | undefined {
  const modalities = new Map<string, number>();
  for (const side of [PROMPT, CANDIDATES]) {
    const at = `${MEMBER}.${side}[]`;
    const counts = new Map(found.all(`${at}.tokenCount`).map(({ element, value }) => [element, toldTokens(value)]));
    for (const { element, value } of found.all(`${at}.modality`)) {
      modalities.set(`${side}.${value}`, counts.get(element) ?? 0);
    }
  }
  const numbers = below(numbersOf(found), MEMBER);
  return geminiUsage({ get: (path) => (path.includes('.') ? modalities.get(path) : numbers.get(path)) });
}

export function scannedGeminiTier(found: MatchesByPath): string | undefined {
  return geminiTier(found.one(`${MEMBER}.serviceTier`)?.value, found.one(`${MEMBER}.trafficType`)?.value);
}

/**
 * Returns the tier that served a request, by the name of the prices: Vertex AI tells it as the type
 * of the traffic.
 */
export function geminiTier(tier: unknown, trafficType: unknown): string | undefined {
  const told = plainTier(tier);
  if (told !== undefined) {
    return told;
  }
  return typeof trafficType === 'string' && trafficType.startsWith(ON_DEMAND)
    ? trafficType.slice(ON_DEMAND.length).replace(/^_/, '').toLowerCase() || 'standard'
    : undefined;
}

const ON_DEMAND = 'ON_DEMAND';

/** Returns `priority` for `SERVICE_TIER_PRIORITY` and `priority`. */
export function plainTier(tier: unknown): string | undefined {
  const name = typeof tier === 'string' ? tier.toLowerCase().replace(/^service_tier_/, '') : '';
  return name === '' || name === 'unspecified' ? undefined : name;
}
