/** The settings of LiteLLM's router that apply to all rules. */
import type { Place } from '../draft.ts';
import { durationText } from '../duration-text.ts';
import type { SourceField } from '../source-field.ts';
import type { LiteLlmSource } from './source.ts';

export interface RouterSettings {
  readonly numRetries: SourceField | undefined;
  readonly cooldown: SourceField | undefined;
  readonly timeout: SourceField | undefined;
  readonly streamTimeout: SourceField | undefined;
  readonly strategy: SourceField | undefined;
  readonly dropParams: SourceField | undefined;
  readonly affinityChecks: readonly SourceField[];
  readonly fallbacks: readonly SourceField[];
  readonly defaultFallbacks: SourceField | undefined;
  /** By the alias. */
  readonly aliases: ReadonlyMap<string, SourceField>;
}

/** Reads settings from `router_settings`, else from `litellm_settings`, as LiteLLM does. */
export function routerSettings({ root }: LiteLlmSource): RouterSettings {
  const [router, module, general] = [
    root.at('router_settings'),
    root.at('litellm_settings'),
    root.at('general_settings'),
  ];
  const either = (...names: readonly string[]) => {
    const found = names.flatMap((name) => [router?.at(name), module?.at(name)]).filter((each) => each !== undefined);
    for (const other of found.slice(1)) {
      other.isNotNeeded('another setting takes precedence');
    }
    return found[0];
  };
  return {
    numRetries: either('num_retries'),
    cooldown: either('cooldown_time'),
    timeout: either('timeout', 'request_timeout'),
    streamTimeout: either('stream_timeout'),
    strategy: router?.at('routing_strategy'),
    dropParams: either('drop_params'),
    affinityChecks:
      router
        ?.at('optional_pre_call_checks')
        ?.items.filter(({ text }) => /^(prompt_caching|(session|deployment)_affinity)$/.test(text ?? '')) ?? [],
    fallbacks: [...(router?.at('fallbacks')?.items ?? []), ...(module?.at('fallbacks')?.items ?? [])],
    defaultFallbacks: either('default_fallbacks'),
    aliases: new Map(
      [router, module, general].flatMap((each) => [
        ...(each?.at('model_alias_map')?.members ?? []),
        ...(each?.at('model_group_alias')?.members ?? []),
      ]),
    ),
  };
}

const balancers: Readonly<Record<string, 'LeastCost' | 'LeastLatency'>> = {
  'latency-based-routing': 'LeastLatency',
  'cost-based-routing': 'LeastCost',
};

export function loadBalancerOf({ strategy }: RouterSettings): object | undefined {
  const type = strategy?.text === undefined ? undefined : balancers[strategy.text];
  return type && { type };
}

/** Leaves the verdicts on settings that are part of all rules. */
export function reportSettings(settings: RouterSettings, rules: Place, hasSeveral: boolean): void {
  const { strategy, timeout, streamTimeout, dropParams, cooldown, numRetries } = settings;
  if (strategy !== undefined) {
    reportStrategy(strategy, rules);
  }
  timeout?.becomes(rules);
  streamTimeout?.differs(rules, 'firstToken ends a stream without a first token; later pauses end it by idle.');
  if (dropParams?.isTrue) {
    const how =
      'unsupported: Drop. It holds for requests that are converted to another API; a provider of the same API gets all fields.';
    dropParams.differs(rules, how);
  } else {
    dropParams?.isNotNeeded('unsupported: Refuse is the default');
  }
  const retried = hasSeveral
    ? 'A failed backend rests at once, and the next one serves the request; LiteLLM waits for allowed_fails failures within a minute.'
    : 'Tallygate retries before the provider begins to respond, at most five times.';
  numRetries?.differs(rules, retried);
  if (hasSeveral) {
    cooldown?.becomes(rules);
  } else {
    cooldown?.isNotNeeded('no rule has several backends');
  }
  for (const check of settings.affinityChecks) {
    check.becomes(rules);
  }
}

function reportStrategy(strategy: SourceField, rules: Place): void {
  switch (strategy.text) {
    case 'simple-shuffle':
      strategy.becomes(rules);
      break;
    case 'latency-based-routing':
      strategy.differs(rules, 'LeastLatency goes by the time until the first token, without lowest_latency_buffer.');
      break;
    case 'cost-based-routing':
      strategy.differs(rules, 'LeastCost estimates the cost of each request; backends without a price come last.');
      break;
    default:
      strategy.hasNoEqual(
        'Tallygate does not balance by requests in flight or by the usage of a deployment',
        'set loadBalancer.type of the rules to LeastLatency, or rely on failover when a provider limits the rate',
      );
  }
}

/** The timeouts of a rule, from the settings and the deployments. */
export function timeoutsOf(seconds: number | undefined, streamSeconds: number | undefined): object | undefined {
  const isBounded = seconds !== undefined && seconds > 0;
  const first = streamSeconds !== undefined && isBounded ? Math.min(streamSeconds, seconds) : streamSeconds;
  const timeouts = {
    ...(isBounded && { request: durationText(seconds) }),
    ...(first !== undefined && first > 0 && { firstToken: durationText(first) }),
  };
  return Object.keys(timeouts).length === 0 ? undefined : timeouts;
}
