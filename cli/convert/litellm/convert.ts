/** Converts the configuration of LiteLLM's proxy. */
import { ObjectDraft } from '../draft.ts';
import { SecretDrafts } from '../secrets.ts';
import type { SourceField } from '../source-field.ts';
import { accessDrafts } from './access.ts';
import { BackendDrafts } from './backends.ts';
import { addBudget, QuotaDrafts } from './budgets.ts';
import { groupsOf } from './groups.ts';
import { guardrailDraft } from './guardrails.ts';
import { keyDrafts } from './keys.ts';
import { explainDeployment, explainOthers } from './other-settings.ts';
import { routerSettings } from './router-settings.ts';
import { routeDrafts } from './routes.ts';
import { GATEWAY, LiteLlmFiles, type LiteLlmSource, NAMESPACE } from './source.ts';

/** The port of LiteLLM's proxy. */
const PORT = 4000;

const sections = [
  'model_list',
  'litellm_settings',
  'general_settings',
  'router_settings',
  'guardrails',
  'keys',
  'teams',
];

/** Returns whether a document can be one of LiteLLM. */
export function isLiteLlm(value: Readonly<Record<string, unknown>>): boolean {
  return value['kind'] === undefined && sections.some((name) => Object.hasOwn(value, name));
}

export function convertLiteLlm(
  roots: readonly SourceField[],
  environment: (name: string) => string | undefined,
): readonly ObjectDraft[] {
  const source: LiteLlmSource = { root: new LiteLlmFiles(roots), secrets: new SecretDrafts(NAMESPACE), environment };
  const backends = new BackendDrafts(source);
  const deployments = source.root.items('model_list').flatMap((entry) => backends.deployment(entry) ?? []);
  const settings = routerSettings(source);
  const size = source.root.at('general_settings', 'max_request_size_mb');
  const routes = routeDrafts(groupsOf(deployments), settings, size);
  const quotas = new QuotaDrafts();
  addGeneralBudgets(source, quotas);
  const keys = keyDrafts(source, quotas);
  const access = accessDrafts(source, keys);
  const guardrails = guardrailDraft(source);
  for (const { fields } of deployments) {
    explainDeployment(fields);
  }
  explainOthers(source);
  return [
    gateway(access.policy === undefined),
    ...backends.drafts,
    ...routes,
    ...(access.policy === undefined ? [] : [access.policy]),
    ...quotas.drafts,
    ...(guardrails === undefined ? [] : [guardrails]),
    ...keys.secrets,
    ...access.secrets,
    ...source.secrets.drafts,
  ];
}

function gateway(isOpen: boolean): ObjectDraft {
  const draft = new ObjectDraft({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: GATEWAY, namespace: NAMESPACE },
    spec: { gatewayClassName: 'tallygate', listeners: [{ name: 'http', port: PORT, protocol: 'HTTP' }] },
  });
  if (isOpen) {
    draft.comment(draft.place(), 'Everyone may call: the source has no master_key and no keys. Add an AIAccessPolicy.');
  }
  return draft;
}

function addGeneralBudgets(source: LiteLlmSource, quotas: QuotaDrafts): void {
  const module = source.root.at('litellm_settings');
  const general = source.root.at('general_settings');
  const global = {
    max: module?.at('max_budget'),
    duration: module?.at('budget_duration'),
    parallel: general?.at('global_max_parallel_requests'),
  };
  addBudget(global, { name: 'all' }, quotas, source);
  const users = module?.at('default_internal_user_params');
  const ofUser = {
    max: users?.at('max_budget') ?? module?.at('max_internal_user_budget'),
    duration: users?.at('budget_duration') ?? module?.at('internal_user_budget_duration'),
    rpm: users?.at('rpm_limit'),
    tpm: users?.at('tpm_limit'),
  };
  addBudget(ofUser, { name: 'user', key: [{ type: 'User' }], when: 'has(caller.user)' }, quotas, source);
  const keys = module?.at('default_key_generate_params');
  const ofKey = {
    max: keys?.at('max_budget'),
    duration: keys?.at('budget_duration') ?? keys?.at('duration'),
    rpm: keys?.at('rpm_limit'),
    tpm: keys?.at('tpm_limit'),
    parallel: keys?.at('max_parallel_requests'),
  };
  addBudget(ofKey, { name: 'key', key: [{ type: 'APIKey' }] }, quotas, source);
}
