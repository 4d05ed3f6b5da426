/** One provider and one gateway with a backend per schema, as most test files need them. */
import { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
import { type Provider, startProvider } from './provider.ts';
import { backend, type Document, type RuleOptions, route } from './resources.ts';

export interface World {
  readonly provider: Provider;
  readonly gateway: Gateway;
  stop(): Promise<void>;
}

export const MODEL = 'gpt-4o-mini';
/**
 * Not a real model name, because real names may imply hidden output, whose holds are tested
 * elsewhere.
 */
export const CLAUDE = 'claude-mock-1';
/** TGI's own endpoints name no model; this header selects the rule. */
export const TGI_HEADERS = { 'x-engine': 'tgi' };

export function backends(port: number): readonly Document[] {
  return [
    backend('openai', { port, models: [{ name: MODEL, maxOutputTokens: 16_384 }, { name: 'text-embedding-3-small' }] }),
    backend('anthropic', {
      schema: 'Anthropic',
      port,
      models: [CLAUDE, 'claude-*'].map((name) => ({ name, maxOutputTokens: 64_000 })),
    }),
    backend('tgi', { schema: 'HuggingFaceTGI', port, models: [{ name: '*', maxOutputTokens: 4_096 }] }),
  ];
}

export const rules: readonly RuleOptions[] = [
  {
    name: 'openai',
    models: [MODEL, 'text-embedding-3-small', 'gpt-3.5-turbo-instruct'],
    backendRefs: [{ name: 'openai' }],
  },
  { name: 'alias', models: ['cheap'], backendRefs: [{ name: 'openai', model: MODEL }] },
  { name: 'claude', models: ['claude-*'], backendRefs: [{ name: 'anthropic' }] },
  {
    name: 'tgi',
    models: ['*'],
    backendRefs: [{ name: 'tgi' }],
    more: { headers: [{ name: 'x-engine', value: 'tgi' }] },
  },
];

export async function startWorld(
  more: readonly Document[] = [],
  routeMore: Document = {},
  options: GatewayOptions = {},
): Promise<World> {
  const provider = await startProvider();
  try {
    const documents = [...backends(provider.port), route('chat', rules, routeMore), ...more];
    const gateway = await startGateway(documents, options);
    return {
      provider,
      gateway,
      stop: async () => {
        await provider.stop();
        await gateway.stop();
      },
    };
  } catch (error) {
    await provider.stop();
    throw error;
  }
}
