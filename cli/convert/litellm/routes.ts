/** Model groups, aliases and fallbacks become rules of AIGatewayRoutes. */
import { modelPattern } from '../../../crds/schema.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import { UniqueLabels } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import type { Deployment } from './backends.ts';
import { MAX_RULE_MODELS, type ModelGroup, reportNames } from './groups.ts';
import { loadBalancerOf, type RouterSettings, reportSettings, timeoutsOf } from './router-settings.ts';
import { GATEWAY, NAMESPACE } from './source.ts';
import { reportWeights, weightsOf } from './weights.ts';

const MAX_RULES = 64;
const MAX_BACKENDS = 16;
const MAX_PRIORITY = 9;
const MAX_RETRIES = 5;
/** LiteLLM's default. */
const COOLDOWN_SECONDS = 5;

interface DraftBackendRef {
  readonly name: string;
  model?: string;
  weight?: number;
  priority?: number;
}

interface RuleDraft {
  readonly name: string;
  readonly models: string[];
  readonly backendRefs: DraftBackendRef[];
  [member: string]: unknown;
}

interface RouteSpecDraft {
  readonly parentRefs: readonly object[];
  readonly maxRequestBodySize?: string;
  readonly rules: RuleDraft[];
}

export function routeDrafts(
  groups: readonly ModelGroup[],
  settings: RouterSettings,
  bodySize: SourceField | undefined,
): readonly ObjectDraft[] {
  addAliases(groups, settings);
  const size = bodySize?.number;
  const isSize = size !== undefined && Number.isInteger(size) && size >= 1 && size <= 1024;
  const drafts: ObjectDraft[] = [];
  const labels = new UniqueLabels();
  for (let from = 0; from < groups.length; from += MAX_RULES) {
    const spec: RouteSpecDraft = {
      parentRefs: [{ name: GATEWAY }],
      ...(isSize && { maxRequestBodySize: `${size}Mi` }),
      rules: [],
    };
    const draft = routeDraft(drafts.length === 0 ? 'models' : `models-${drafts.length + 1}`, spec);
    for (const group of groups.slice(from, from + MAX_RULES)) {
      spec.rules.push(ruleOf(group, groups, settings, draft, labels));
    }
    drafts.push(draft);
  }
  const [first] = drafts;
  if (first !== undefined) {
    const spec = first.object.spec as RouteSpecDraft;
    const hasSeveral = drafts.some(({ object }) =>
      (object.spec as RouteSpecDraft).rules.some((each) => each['failover']),
    );
    reportSettings(settings, first.place(spec, 'rules'), hasSeveral);
    if (isSize) {
      bodySize?.becomes(first.place(spec, 'maxRequestBodySize'));
    }
  }
  return drafts;
}

function routeDraft(name: string, spec: object): ObjectDraft {
  return new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIGatewayRoute',
    metadata: { name, namespace: NAMESPACE },
    spec,
  });
}

function addAliases(groups: readonly ModelGroup[], { aliases }: RouterSettings): void {
  for (const [name, alias] of aliases) {
    const target = alias.at('model')?.text ?? alias.text;
    const group = groups.find((each) => each.name === target);
    if (group === undefined || group.name.includes('*') || group.models.length >= MAX_RULE_MODELS) {
      alias.hasNoEqual('no single model of model_list has this name', 'add a rule for the alias');
    } else if (!modelPattern.safeParse(name).success || name.includes('*')) {
      alias.hasNoEqual('the alias has spaces or a wildcard', 'choose another name');
    } else if (groups.some(({ models }) => models.includes(name))) {
      alias.isNotNeeded('a model of this name exists');
    } else {
      group.models.push(name);
    }
  }
}

function ruleOf(
  group: ModelGroup,
  groups: readonly ModelGroup[],
  settings: RouterSettings,
  draft: ObjectDraft,
  labels: UniqueLabels,
): RuleDraft {
  const references: DraftBackendRef[] = [];
  const rule: RuleDraft = {
    name: labels.next(group.name === '*' ? 'everything-else' : group.name),
    models: group.models,
    backendRefs: references,
  };
  const place = (key: string) => draft.place(rule, key);
  addReferences(group, references);
  addFallbacks(group, groups, settings, references, place('backendRefs'));
  if (references.length > MAX_BACKENDS) {
    references.length = MAX_BACKENDS;
    draft.comment(place('backendRefs'), `LiteLLM has more deployments; a rule has at most ${MAX_BACKENDS}.`);
  }
  reportNames(group, place);
  reportWeights(group, references.length > 1, place('backendRefs'));
  for (const [name, alias] of settings.aliases) {
    if (alias.verdicts.length === 0 && group.models.includes(name)) {
      alias.becomes(place('models'));
      alias.at('hidden')?.hasNoEqual('GET /v1/models lists every model of a rule', 'limit it by an AIAccessPolicy');
    }
  }
  addBehaviour(group, settings, rule, place);
  return rule;
}

function addReferences(group: ModelGroup, references: DraftBackendRef[]): void {
  const weights = weightsOf(group.deployments);
  const orders = group.deployments.map(({ fields }) => fields.at('order')?.number ?? fields.info('order')?.number ?? 1);
  const lowest = Math.min(...orders);
  for (const [index, deployment] of group.deployments.entries()) {
    const priority = Math.min(Math.max(Math.trunc((orders[index] ?? 1) - lowest), 0), MAX_PRIORITY);
    const isSame = group.models.length === 1 && group.models[0] === deployment.model;
    references.push({
      name: deployment.backend.object.metadata.name,
      ...(deployment.model !== undefined && !isSame && { model: deployment.model }),
      ...(weights !== undefined && { weight: weights[index] ?? 1 }),
      ...(priority > 0 && { priority }),
    });
  }
}

function addFallbacks(
  group: ModelGroup,
  groups: readonly ModelGroup[],
  { fallbacks, defaultFallbacks }: RouterSettings,
  references: DraftBackendRef[],
  place: Place,
): void {
  const own = fallbacks.flatMap((each) =>
    [...each.members].filter(([name]) => name === group.name).map(([, to]) => to),
  );
  const anyModel = fallbacks.flatMap((each) => each.at('*') ?? []);
  const lists = own.length > 0 ? own : anyModel.length > 0 ? anyModel : defaultFallbacks ? [defaultFallbacks] : [];
  let priority = Math.max(...references.map((each) => each.priority ?? 0));
  for (const to of lists.flatMap((list) => list.items)) {
    const target = groups.find(({ name, models }) => name === to.text || models.includes(to.text ?? ''));
    if (target === group) {
      to.isNotNeeded('the model is the one that failed');
      continue;
    }
    if (target === undefined || target.deployments.some(({ model }) => model === undefined)) {
      to.hasNoEqual(
        'no single model of model_list has this name',
        'add a backendRef with a higher priority to the rule',
      );
      continue;
    }
    priority = Math.min(priority + 1, MAX_PRIORITY);
    for (const { backend, model } of target.deployments) {
      references.push({ name: backend.object.metadata.name, ...(model !== undefined && { model }), priority });
    }
    const how =
      'Higher priorities serve the request when a backend cannot be reached, answers 5xx or 429, or sends no first token in time; other errors reach the client. Quotas and access policies see the model that the client named.';
    to.differs(place, how);
  }
}

function addBehaviour(
  group: ModelGroup,
  settings: RouterSettings,
  rule: RuleDraft,
  place: (key: string) => Place,
): void {
  const { deployments } = group;
  const seconds = ownOr(deployments, ['timeout'], settings.timeout, place('timeouts'));
  const streamSeconds = ownOr(deployments, ['stream_timeout'], settings.streamTimeout, place('timeouts'));
  const timeouts = timeoutsOf(seconds, streamSeconds);
  if (timeouts !== undefined) {
    rule['timeouts'] = timeouts;
  }
  const isSeveral = rule.backendRefs.filter((each) => each.weight !== 0).length > 1;
  const retries = ownOr(
    deployments,
    ['num_retries', 'max_retries'],
    settings.numRetries,
    place(isSeveral ? 'failover' : 'retries'),
  );
  if (isSeveral) {
    const cooldown = ownOr(deployments, ['cooldown_time'], settings.cooldown, place('failover')) ?? COOLDOWN_SECONDS;
    rule['failover'] = {
      attempts: Math.min(Math.max(Math.trunc(retries ?? 2) + 1, 2), 10),
      cooldown: `${Math.min(Math.max(Math.round(cooldown), 1), 3600)}s`,
    };
    const balancer = loadBalancerOf(settings);
    if (balancer !== undefined) {
      rule['loadBalancer'] = balancer;
    }
    if (settings.affinityChecks.length > 0) {
      rule['affinity'] = { type: 'Session' };
    }
  } else if (retries !== undefined) {
    const attempts = Math.min(Math.max(Math.trunc(retries), 0), MAX_RETRIES);
    rule['retries'] = attempts === 0 ? { attempts } : { attempts, codes: [408, 429, 500, 502, 503, 504] };
  }
  if (settings.dropParams?.isTrue) {
    rule['unsupported'] = 'Drop';
  }
}

/** The largest number of the deployments, else the one of the settings. */
function ownOr(
  deployments: readonly Deployment[],
  names: readonly string[],
  general: SourceField | undefined,
  place: Place,
): number | undefined {
  const own = deployments.flatMap(({ fields }) => fields.at(...names) ?? []);
  for (const field of own) {
    if (deployments.length > 1) {
      field.differs(place, 'It holds for the rule: of several deployments, the largest counts.');
    } else {
      field.becomes(place);
    }
  }
  const numbers = own.flatMap(({ number }) => number ?? []);
  return numbers.length > 0 ? Math.max(...numbers) : general?.number;
}
