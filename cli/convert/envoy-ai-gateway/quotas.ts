/** Rate limits with costs, and QuotaPolicies, become AIQuotaPolicies. */
import { quotaPolicySpec } from '../../../crds/quota-policy.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import { durationText } from '../duration-text.ts';
import { UniqueLabels } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import { type CountedCost, costLimit, expressionLimit } from './costs.ts';
import { type ForeignResource, type ForeignResources, targetsOf } from './resources.ts';
import type { ConvertedRoute } from './routes.ts';
import { amountsOf, type ClaimHeaders, type QuotaSelection, selectionOf } from './selectors.ts';

const MAX_QUOTAS = 16;

const checkedBefore =
  'Tallygate holds the tokens of a request before it begins. The source checks only whether something is left, and counts after the response.';
const shared = 'Requests without a value share one budget; the source does not limit them.';
const others = 'The overrides limit the same requests as the source; no others reach the amount of the limit.';
const strict =
  'A request must have room in every quota that it matches. In the source, it passes when any of them has room.';

interface QuotaTarget {
  readonly policy: ForeignResource;
  readonly targetRefs: readonly object[];
}

/** Collects the quotas of one policy. */
class PolicyQuotas {
  readonly #target: QuotaTarget;
  readonly #labels = new UniqueLabels();
  readonly #quotas: object[] = [];
  readonly #spec: object;
  readonly draft: ObjectDraft;

  constructor(target: QuotaTarget) {
    const { namespace, name } = target.policy;
    this.#target = target;
    this.#spec = { targetRefs: target.targetRefs, quotas: this.#quotas };
    this.draft = new ObjectDraft({
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIQuotaPolicy',
      metadata: { name, namespace },
      spec: this.#spec,
    });
  }

  get isEmpty(): boolean {
    return this.#quotas.length === 0;
  }

  reportTargets(): void {
    for (const target of targetsOf(this.#target.policy)) {
      if (target.verdicts.length === 0) {
        target.becomes(this.draft.place(this.#spec, 'targetRefs'));
      }
    }
  }

  /** Undefined if the quota is not valid. */
  add(quota: object, name: string): object | undefined {
    const named = { name: this.#labels.next(name), ...quota };
    const { targetRefs } = this.#target;
    const isValid = quotaPolicySpec.safeParse({ targetRefs, quotas: [named] }).success;
    if (!isValid || this.#quotas.length >= MAX_QUOTAS) {
      return undefined;
    }
    this.#quotas.push(named);
    return named;
  }
}

export interface QuotaInput {
  readonly resources: ForeignResources;
  readonly routes: readonly ConvertedRoute[];
  readonly claims: ClaimHeaders;
}

export function foreignQuotas(input: QuotaInput): readonly ObjectDraft[] {
  const { resources } = input;
  const limits = resources.of('BackendTrafficPolicy').flatMap((policy) => rateLimits(policy, input) ?? []);
  const quotas = resources.of('QuotaPolicy').flatMap((policy) => quotaPolicy(policy, input) ?? []);
  return [...limits, ...quotas];
}

function rateLimits(policy: ForeignResource, input: QuotaInput): ObjectDraft | undefined {
  const settings = policy.field.at('spec', 'rateLimit');
  settings?.at('local')?.hasNoEqual('limits hold for all proxies together', 'add a quota of Requests');
  const rules = settings?.at('global', 'rules')?.items ?? [];
  if (rules.length === 0) {
    return undefined;
  }
  const targetRefs = targetsOf(policy).flatMap((target) => targetRef(target, policy, input));
  if (targetRefs.length === 0) {
    settings?.hasNoEqual('none of its targets is converted', 'add an AIQuotaPolicy');
    return undefined;
  }
  const quotas = new PolicyQuotas({ policy, targetRefs });
  for (const rule of rules) {
    addRateLimit(rule, policy, quotas, input);
  }
  settings?.at('type')?.isNotNeeded('limits hold for all proxies together with a shared store');
  settings?.at('global', 'shared')?.isNotNeeded('the quotas of a policy are shared by its targets');
  quotas.reportTargets();
  return quotas.isEmpty ? undefined : quotas.draft;
}

function targetRef(target: SourceField, policy: ForeignResource, { routes }: QuotaInput): readonly object[] {
  const name = target.at('name')?.text;
  if (target.at('kind')?.text === 'Gateway') {
    return [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name }];
  }
  const isKnown = routes.some((each) => each.name === name && each.namespace === policy.namespace);
  if (!isKnown) {
    target.hasNoEqual('no AIGatewayRoute of the files makes this HTTPRoute', 'target a route or a Gateway');
  }
  return isKnown ? [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name }] : [];
}

function addRateLimit(rule: SourceField, policy: ForeignResource, quotas: PolicyQuotas, input: QuotaInput): void {
  const limit = limitOf(rule, policy, input);
  const selection = limit && selectionOf(rule.at('clientSelectors')?.items ?? [], input.claims);
  const of = windowOf(rule.at('limit', 'unit')?.text);
  const amount = rule.at('limit', 'requests');
  if (limit === undefined || selection === undefined || of === undefined || amount?.number === undefined) {
    rule.hasNoEqual(
      of === undefined ? 'a window is at most a month' : 'no quota counts and selects the same',
      'write a quota by hand',
    );
    return;
  }
  const requests =
    limit.type === 'Requests' && limit.perRequest > 1 ? Math.floor(amount.number / limit.perRequest) : amount.number;
  const { amount: own, overrides } = amountsOf(requests, selection.only);
  const quota = {
    limit: { type: limit.type, amount: own, ...(limit.weight !== undefined && { weight: limit.weight }) },
    window: of.window,
    ...(selection.key.length > 0 && { key: selection.key }),
    ...(selection.when.length > 0 && { when: selection.when.join(' && ') }),
    ...(overrides !== undefined && { overrides }),
    ...(selection.key.length > 0 && { onMissingKey: 'Shared' }),
    ...(rule.at('shadowMode')?.isTrue && { mode: 'Shadow' }),
  };
  const added = quotas.add(quota, limit.name);
  if (added === undefined) {
    rule.hasNoEqual('the amount or the key is not one of a quota', 'write a quota by hand');
    return;
  }
  const place = (key: string) => quotas.draft.place(added, key);
  reportSelection(selection, place);
  if (limit.type === 'Requests') {
    amount.becomes(place('limit'));
  } else {
    amount.differs(place('limit'), checkedBefore);
  }
  const unit = rule.at('limit', 'unit');
  if (of.how === undefined) {
    unit?.becomes(place('window'));
  } else {
    unit?.differs(place('window'), of.how);
  }
  rule.at('cost')?.becomes(place('limit'));
  rule.at('shadowMode')?.becomes(place('mode'));
  rule.at('shared')?.isNotNeeded('the quotas of a policy are shared by its targets');
  rule.at('name')?.becomes(place('name'));
}

function reportSelection({ keyFields, whenFields, only }: QuotaSelection, place: (key: string) => Place): void {
  for (const field of keyFields) {
    field.differs(place('key'), shared);
    if (only !== undefined) {
      field.differs(place('overrides'), others);
    }
  }
  for (const field of whenFields) {
    field.becomes(place('when'));
  }
}

interface NamedLimit extends CountedCost {
  readonly name: string;
  readonly perRequest: number;
}

/** What a rule counts: requests, or what the routes put into the metadata. */
function limitOf(rule: SourceField, policy: ForeignResource, { resources }: QuotaInput): NamedLimit | undefined {
  const key = rule.at('cost', 'response', 'metadata', 'key');
  const perRequest = rule.at('cost', 'request', 'number')?.number ?? 1;
  if (key === undefined) {
    return { type: 'Requests', name: 'requests', perRequest };
  }
  const costs = [...resources.of('AIGatewayRoute'), ...resources.of('GatewayConfig')]
    .filter((each) => each.namespace === policy.namespace)
    .flatMap(({ field }) => [
      ...(field.at('spec', 'llmRequestCosts')?.items ?? []),
      ...(field.at('spec', 'globalLLMRequestCosts')?.items ?? []),
    ]);
  const cost = costs.find((each) => each.at('metadataKey')?.text === key.text);
  const found = cost && costLimit(cost);
  return found && { ...found, name: key.text ?? 'tokens', perRequest };
}

const calendars = ['Minute', 'Hour', 'Day', 'Month'];

function windowOf(unit: string | undefined): { readonly window: object; readonly how?: string } | undefined {
  if (unit === 'Second') {
    return {
      window: { type: 'Sliding', sliding: { duration: '1s' } },
      how: 'A second that ends now, not one of the clock.',
    };
  }
  if (unit === undefined || !calendars.includes(unit)) {
    return undefined;
  }
  const window = { type: 'Calendar', calendar: { unit } };
  return unit === 'Month' ? { window, how: 'A month of the calendar, not 30 days.' } : { window };
}

function quotaPolicy(policy: ForeignResource, input: QuotaInput): ObjectDraft | undefined {
  const targetRefs = targetsOf(policy).flatMap((target) => rulesOfBackend(target, policy, input));
  const perModel = policy.field.at('spec', 'perModelQuotas')?.items ?? [];
  const service = policy.field.at('spec', 'serviceQuota');
  if (targetRefs.length === 0) {
    policy.field.hasNoEqual(
      'no rule has only its backends, and no quota is of one backend',
      'target rules with a quota',
    );
    return undefined;
  }
  const quotas = new PolicyQuotas({ policy, targetRefs });
  for (const each of perModel) {
    addBuckets(each.at('quota') ?? each, each.at('modelName'), quotas, input.claims);
  }
  if (service !== undefined) {
    addBuckets(service, undefined, quotas, input.claims);
  }
  quotas.reportTargets();
  return quotas.isEmpty ? undefined : quotas.draft;
}

/** The rules that only this backend serves. */
function rulesOfBackend(target: SourceField, policy: ForeignResource, { routes }: QuotaInput): readonly object[] {
  const name = target.at('name')?.text ?? '';
  return routes
    .filter(({ namespace }) => namespace === policy.namespace)
    .flatMap((route) =>
      route.rules
        .filter(({ backends }) => backends.every((each) => each === name))
        .map((rule) => ({ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: route.name, sectionName: rule.name })),
    )
    .slice(0, MAX_QUOTAS);
}

function addBuckets(
  owner: SourceField,
  model: SourceField | undefined,
  quotas: PolicyQuotas,
  claims: ClaimHeaders,
): void {
  const expression = owner.at('costExpression');
  const limit = expression === undefined ? { type: 'TotalTokens' } : expressionLimit(expression);
  const single = owner.at('quota');
  const buckets = [
    ...(owner.at('rules')?.items ?? []).map((rule) => ({ rule, value: rule.at('quota') })),
    ...(owner.at('bucketRules')?.items ?? []).map((rule) => ({ rule, value: rule.at('quota') })),
    ...[owner.at('defaultBucket'), single].flatMap((value) => (value === undefined ? [] : [{ rule: value, value }])),
  ];
  const isLoose = buckets.length > 1 && owner.at('mode')?.text !== 'Exclusive';
  owner.at('mode')?.isNotNeeded('every quota that a request matches must have room');
  for (const { rule, value } of buckets) {
    const amount = value?.at('tokens') ?? value?.at('limit');
    const seconds = secondsOf(value?.at('duration')?.text);
    const selectors = rule === value ? [] : (rule.at('clientSelectors')?.items ?? []);
    const selection = limit && selectionOf(selectors, claims);
    if (limit === undefined || selection === undefined || seconds === undefined || amount?.number === undefined) {
      rule.hasNoEqual('no quota counts and selects the same', 'write a quota by hand');
      continue;
    }
    const when = [...selection.when, ...(model?.text ? [`request.model == ${JSON.stringify(model.text)}`] : [])];
    const { amount: own, overrides } = amountsOf(amount.number, selection.only);
    const added = quotas.add(
      {
        limit: { ...limit, amount: own },
        window: { type: 'Sliding', sliding: { duration: durationText(seconds) } },
        ...(selection.key.length > 0 && { key: selection.key }),
        ...(when.length > 0 && { when: when.join(' && ') }),
        ...(overrides !== undefined && { overrides }),
        ...(selection.key.length > 0 && { onMissingKey: 'Shared' }),
        ...(rule.at('shadowMode')?.isTrue && { mode: 'Shadow' }),
      },
      model?.text ?? 'tokens',
    );
    if (added === undefined) {
      rule.hasNoEqual('the amount or the window is not one of a quota', 'write a quota by hand');
      continue;
    }
    const place = (key: string) => quotas.draft.place(added, key);
    amount.differs(
      place('limit'),
      `${checkedBefore} Without room, Tallygate refuses the request and asks no other backend.`,
    );
    if (isLoose) {
      rule.differs(place('name'), strict);
    }
    reportSelection(selection, place);
    value?.at('duration')?.becomes(place('window'));
    rule.at('shadowMode')?.becomes(place('mode'));
    model?.becomes(place('when'));
    expression?.becomes(place('limit'));
  }
}

const seconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds are the default unit. */
function secondsOf(text: string | undefined): number | undefined {
  const [, count = '', unit = ''] = /^([0-9]{1,9})([smhd]?)$/.exec(text ?? '') ?? [];
  const found = Number(count) * (seconds[unit === '' ? 's' : unit] ?? 1);
  return found > 0 ? found : undefined;
}
