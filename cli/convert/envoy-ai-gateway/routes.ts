/** AIGatewayRoutes of Envoy AI Gateway become those of Tallygate. */
import { routeSpec } from '../../../crds/route.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import { UniqueLabels } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import type { ConvertedBackend } from './backends.ts';
import { type ForeignMatch, foreignMatch } from './model-matches.ts';
import type { ForeignResource, ForeignResources } from './resources.ts';
import { addTraffic, durationOf, trafficPolicies } from './traffic.ts';

/** Envoy AI Gateway's default. */
const REQUEST_TIMEOUT = '60s';
const MAX_RULES = 64;
const MAX_MODELS = 64;
const MAX_PRIORITY = 9;

interface ForeignRule {
  readonly name: string;
  readonly models?: readonly string[];
  readonly headers?: readonly object[];
  readonly backendRefs: readonly ForeignReference[];
  [member: string]: unknown;
}

interface ForeignReference {
  readonly namespace?: string;
  readonly name: string;
  readonly weight?: number;
  readonly priority?: number;
  readonly model?: string;
}

export interface ConvertedRoute extends Pick<ForeignResource, 'namespace' | 'name'> {
  readonly draft: ObjectDraft;
  readonly gateways: readonly { readonly namespace: string; readonly name: string }[];
  readonly rules: readonly { readonly name: string; readonly backends: readonly string[] }[];
}

interface RouteInput {
  readonly resource: ForeignResource;
  readonly resources: ForeignResources;
  readonly backends: readonly ConvertedBackend[];
}

/** Undefined if no rule can be converted. */
export function foreignRoute(input: RouteInput): ConvertedRoute | undefined {
  const { resource, resources } = input;
  const { field, namespace, name } = resource;
  const spec = field.at('spec');
  const parents = spec?.at('parentRefs') ?? spec?.at('targetRefs');
  const named = (parents?.items ?? []).flatMap((each) => {
    const gateway = each.at('name')?.text;
    return gateway === undefined ? [] : [{ each, name: gateway, namespace: each.at('namespace')?.text ?? namespace }];
  });
  const [only] = resources.of('Gateway');
  const gateways =
    named.length > 0 ? named : [{ each: undefined, name: only?.name ?? 'ai', namespace: only?.namespace ?? namespace }];
  const rules: ForeignRule[] = [];
  const object = {
    parentRefs: gateways.map(({ each, ...gateway }) => ({
      ...(gateway.namespace !== namespace && { namespace: gateway.namespace }),
      name: gateway.name,
      ...(each?.at('sectionName')?.text !== undefined && { sectionName: each.at('sectionName')?.text }),
    })),
    ...(spec?.at('hostnames') !== undefined && { hostnames: spec.at('hostnames')?.texts }),
    rules,
  };
  const draft = new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIGatewayRoute',
    metadata: { name, namespace },
    spec: object,
  });
  parents?.becomes(draft.place(object, 'parentRefs'));
  spec?.at('hostnames')?.becomes(draft.place(object, 'hostnames'));
  const policies = trafficPolicies(
    resources,
    resource,
    gateways.map((each) => each.name),
  );
  const labels = new UniqueLabels();
  for (const rule of spec?.at('rules')?.items ?? []) {
    for (const each of rulesOf(rule, input, draft, labels)) {
      const place = (key: string) => draft.place(each, key);
      addTraffic(policies, each, each.backendRefs.filter(({ weight }) => weight !== 0).length > 1, place);
      rules.push(each);
    }
  }
  reportRoute(spec);
  const { error } = routeSpec.safeParse({ ...object, rules: rules.slice(0, MAX_RULES) });
  if (error !== undefined || rules.length > MAX_RULES) {
    const [{ path, message } = { path: ['rules'], message: `are more than ${MAX_RULES}` }] = error?.issues ?? [];
    field.hasNoEqual(`${path.join('.')} ${message}`, 'correct it, or split the route');
    return undefined;
  }
  return {
    namespace,
    name,
    draft,
    gateways: gateways.map((each) => ({ namespace: each.namespace, name: each.name })),
    rules: rules.map((rule) => ({ name: rule.name, backends: rule.backendRefs.map((each) => each.name) })),
  };
}

/** A rule of the source may match in several ways; those that differ only by model are one rule. */
function rulesOf(
  rule: SourceField,
  input: RouteInput,
  draft: ObjectDraft,
  labels: UniqueLabels,
): readonly ForeignRule[] {
  const references = referencesOf(rule, input);
  if (references.length === 0 || references.every(({ weight }) => weight === 0)) {
    rule.hasNoEqual('none of its backends can be converted', 'add a rule with an AIBackend');
    return [];
  }
  const stated = rule.at('matches')?.items ?? [];
  const matches = stated.length === 0 ? [everything] : stated.flatMap((match) => foreignMatch(match) ?? []);
  if (matches.length === 0) {
    rule.hasNoEqual('none of its matches can be converted', 'write a rule by hand');
    return [];
  }
  const groups = Map.groupBy(matches, ({ headers, models }) => JSON.stringify([headers, models.length === 0]));
  return [...groups.values()].map((group) => {
    const models = [...new Set(group.flatMap((each) => each.models))].slice(0, MAX_MODELS);
    const [{ headers } = everything] = group;
    const written: ForeignRule = {
      name: labels.next(rule.at('name')?.text ?? models[0] ?? 'everything-else'),
      ...(models.length > 0 && { models }),
      ...(headers.length > 0 && { headers }),
      backendRefs: references,
    };
    const place = (key: string) => draft.place(written, key);
    for (const match of group) {
      reportMatch(match, place);
    }
    rule.at('name')?.becomes(place('name'));
    addTimeouts(rule, written, place);
    reportReferences(rule, input, place('backendRefs'));
    return written;
  });
}

const everything: ForeignMatch = { models: [], headers: [], modelFields: [], headerFields: [] };

function reportMatch({ modelFields, headerFields, how }: ForeignMatch, place: (key: string) => Place): void {
  for (const field of modelFields) {
    if (how === undefined) {
      field.becomes(place('models'));
    } else {
      field.differs(place('models'), how);
    }
  }
  for (const field of headerFields) {
    field.becomes(place('headers'));
  }
}

function addTimeouts(rule: SourceField, written: ForeignRule, place: (key: string) => Place): void {
  const stated = rule.at('timeouts', 'request');
  const idle = rule.at('streamIdleTimeout');
  const request = durationOf(stated);
  written['timeouts'] = {
    request: request ?? REQUEST_TIMEOUT,
    ...(durationOf(idle) !== undefined && { idle: durationOf(idle) }),
  };
  if (request === undefined) {
    const { draft, ...at } = place('timeouts');
    draft.comment({ draft, ...at }, `Envoy AI Gateway's default, also for whole streams. Remove it for no timeout.`);
  } else {
    stated?.becomes(place('timeouts'));
  }
  idle?.differs(place('timeouts'), 'idle ends a request without bytes in either direction, and asks no other backend.');
  rule
    .at('timeouts', 'backendRequest')
    ?.hasNoEqual('a try has no timeout of its own', 'set timeouts.firstToken of the rule');
}

function referencesOf(rule: SourceField, { resource, backends }: RouteInput): readonly ForeignReference[] {
  return (rule.at('backendRefs')?.items ?? []).flatMap((field) => {
    const name = field.at('name')?.text ?? '';
    const namespace = field.at('namespace')?.text ?? resource.namespace;
    if (!backends.some((each) => each.name === name && each.namespace === namespace)) {
      return [];
    }
    const [weight, priority, model] = [
      field.at('weight')?.number,
      field.at('priority')?.number,
      field.at('modelNameOverride')?.text,
    ];
    return [
      {
        ...(namespace !== resource.namespace && { namespace }),
        name,
        ...(weight !== undefined && weight !== 1 && { weight }),
        ...(priority !== undefined && priority !== 0 && { priority: Math.min(priority, MAX_PRIORITY) }),
        ...(model !== undefined && model !== '' && { model }),
      },
    ];
  });
}

function reportReferences(rule: SourceField, { resource, backends }: RouteInput, place: Place): void {
  for (const field of rule.at('backendRefs')?.items ?? []) {
    const namespace = field.at('namespace')?.text ?? resource.namespace;
    if (field.at('kind')?.text === 'InferencePool') {
      const fix = 'write an AIBackend for the Service of the model servers, and set affinity of the rule';
      field.hasNoEqual('Tallygate does not ask endpoint pickers', fix);
    } else if (backends.some((each) => each.name === field.at('name')?.text && each.namespace === namespace)) {
      for (const name of ['name', 'namespace', 'weight', 'priority', 'modelNameOverride', 'group', 'kind']) {
        field.at(name)?.becomes(place);
      }
      const why = 'Tallygate changes no headers and members of requests';
      field.at('headerMutation')?.hasNoEqual(why, 'set them in the clients');
      field.at('bodyMutation')?.hasNoEqual(why, 'set them in the clients');
    } else {
      field.hasNoEqual('its backend is not in the files or cannot be converted', 'add its files, or an AIBackend');
    }
  }
}

function reportRoute(spec: SourceField | undefined): void {
  spec?.at('schema')?.isNotNeeded('a rule serves clients of every API');
  spec
    ?.at('rateLimitsFromHeaders')
    ?.hasNoEqual('amounts come from policies', 'use overrides of a quota, by tenant, user or claim');
  spec?.at('filterConfig')?.hasNoEqual('the sidecar has its own settings', 'set the values of the chart');
  for (const rule of spec?.at('rules')?.items ?? []) {
    for (const name of ['modelsOwnedBy', 'modelsCreatedAt']) {
      rule.at(name)?.hasNoEqual('GET /v1/models names no owner and time', 'nothing needs it to call a model');
    }
  }
}
