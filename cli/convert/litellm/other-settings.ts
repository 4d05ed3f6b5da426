/** Settings of LiteLLM that no resource of Tallygate has: why, and what to do instead. */
import type { SourceField } from '../source-field.ts';
import type { DeploymentFields } from './deployment-fields.ts';
import type { LiteLlmSource } from './source.ts';

interface NoEqual {
  readonly why: string;
  readonly fix: string;
}

type Explanation = NoEqual | string;

const cache: NoEqual = {
  why: 'Tallygate keeps no responses',
  fix: 'use the prompt caches of the providers, and affinity of the rules to reach them',
};
const logging: NoEqual = {
  why: 'Tallygate sends no prompts and responses to logging services',
  fix: 'collect access lines, metrics and usage records (docs/guides/observing.md)',
};
const alerting: NoEqual = {
  why: 'alerts come from quotas and from Prometheus',
  fix: 'set alertAt and notify of the AIQuotaPolicy, and use the alert rules of the chart',
};
const store: NoEqual = {
  why: 'resources have no shared store; the process has one',
  fix: 'set TALLYGATE_QUOTA_STORE_URL (docs/guides/shared-store.md)',
};
const contextFallback: NoEqual = {
  why: 'failover follows failures of a provider, and a prompt that is too long is a failure of the request',
  fix: 'name a model with a longer context in the client',
};
const hooks: NoEqual = {
  why: 'Tallygate runs no code of its users',
  fix: 'use AIAccessPolicy with conditions, or a webhook of an AIGuardrailPolicy',
};
const database = 'Tallygate needs no database: keys are Secrets, usage is in the journal';
const administration =
  'Tallygate has no pages and no API to administer it: resources are files or objects of the cluster';
const process = 'it is a setting of the LiteLLM process';
const otherEndpoints: NoEqual = {
  why: 'Tallygate does not convert these endpoints',
  fix: 'list their paths in passthrough of the route',
};
const tags: NoEqual = {
  why: 'rules match models and headers, not tags in the body',
  fix: 'add a rule with headers, and send the tag as a header',
};
const failures: NoEqual = {
  why: 'one failure makes a backend rest',
  fix: 'choose the causes by failover.on of the rules',
};

const router: Readonly<Record<string, Explanation>> = {
  redis_host: store,
  redis_port: store,
  redis_password: store,
  redis_url: store,
  redis_db: store,
  cache_responses: cache,
  cache_kwargs: cache,
  caching_groups: cache,
  allowed_fails: failures,
  allowed_fails_policy: failures,
  disable_cooldowns: { why: 'a failed backend always rests', fix: 'set a short failover.cooldown' },
  retry_policy: {
    why: 'a rule has one number of attempts for all failures',
    fix: 'choose the statuses by retries.codes, and the causes by failover.on',
  },
  model_group_retry_policy: { why: 'LiteLLM has it only in Python', fix: 'set retries and failover of the rules' },
  retry_after: { why: 'retries wait as the provider asks', fix: 'remove it' },
  context_window_fallbacks: contextFallback,
  content_policy_fallbacks: { ...contextFallback, why: 'a refusal by the policy of a provider reaches the client' },
  max_fallbacks: { why: 'attempts of failover bound them', fix: 'set failover.attempts of the rules' },
  enable_pre_call_checks: {
    why: 'Tallygate does not choose a backend by the length of its context',
    fix: 'set requestLimits of an AIQuotaPolicy to refuse long prompts',
  },
  enable_pre_call_check: { why: 'Tallygate does not choose by the length of the context', fix: 'set requestLimits' },
  optional_pre_call_checks: {
    why: 'Tallygate has no such check',
    fix: 'see affinity of rules, and AIQuotaPolicy for budgets',
  },
  enable_tag_filtering: tags,
  tag_filtering_match_any: tags,
  routing_strategy_args: { why: 'load balancers have no settings', fix: 'remove it' },
  provider_budget_config: {
    why: 'no quota is of one provider',
    fix: 'target the rules of its models with an AIQuotaPolicy (Cost)',
  },
  default_max_parallel_requests: {
    why: 'no quota is of one backend',
    fix: 'target the rules with an AIQuotaPolicy (ConcurrentRequests)',
  },
  default_litellm_params: {
    why: 'Tallygate adds no fields to requests',
    fix: 'set them in the clients',
  },
  search_tools: otherEndpoints,
  debug_level: process,
  set_verbose: process,
  client_ttl: process,
  polling_interval: process,
  ignore_invalid_deployments: process,
};

const module: Readonly<Record<string, Explanation>> = {
  ...router,
  cache,
  cache_params: cache,
  enable_redis_auth_cache: database,
  callback_settings: logging,
  default_team_settings: logging,
  langfuse_default_tags: logging,
  s3_callback_params: logging,
  turn_off_message_logging: 'Tallygate logs no messages',
  redact_user_api_key_info: 'access lines name the Secret of a key, never the key',
  redact_messages_in_exceptions: 'errors have no messages of requests',
  json_logs: 'logs are JSON',
  set_verbose: process,
  telemetry: process,
  force_ipv4: process,
  ssl_verify: { why: 'TLS of a backend is always verified', fix: 'set endpoint.tls of the AIBackend' },
  mcp_aliases: { why: 'Tallygate is no gateway for MCP', fix: 'keep another gateway for MCP servers' },
  modify_params: { why: 'Tallygate adds no messages to requests', fix: 'correct the requests in the clients' },
  enable_json_schema_validation: { why: 'Tallygate does not validate responses', fix: 'validate them in the clients' },
  key_generation_settings: administration,
  max_end_user_budget: {
    why: 'the member user of a request is chosen by its client, so Tallygate gives it no budget',
    fix: 'give each end user a token, or let your application send a header as the key of a quota',
  },
  max_end_user_budget_id: { why: 'end users have no budgets', fix: 'give each end user a token' },
  default_team_params: { why: 'teams are tenants of keys', fix: 'add a quota with the key Tenant' },
  upperbound_key_generate_params: administration,
  priority_reservation: { why: 'quotas reserve no shares by priority', fix: 'add a quota for each class of keys' },
  request_timeout: 'another setting takes precedence',
  timezone: { why: 'no budget has a window of the calendar in it', fix: 'set timeZone of the windows' },
};

const general: Readonly<Record<string, Explanation>> = {
  database_url: database,
  database_connection_pool_limit: database,
  database_connection_timeout: database,
  database_connection_pool_timeout: database,
  store_model_in_db: database,
  supported_db_objects: database,
  allow_requests_on_db_unavailable: database,
  disable_prisma_schema_update: database,
  proxy_batch_write_at: database,
  use_redis_transaction_buffer: database,
  proxy_budget_rescheduler_min_time: 'budgets end at their time, without a job',
  proxy_budget_rescheduler_max_time: 'budgets end at their time, without a job',
  disable_spend_logs: 'usage records hold no prompts',
  disable_reset_budget: { why: 'budgets always end with their window', fix: 'use a window of type Lifetime' },
  store_prompts_in_spend_logs: logging,
  maximum_spend_logs_retention_period: { why: 'it is no resource', fix: 'see the retention in docs/guides/usage.md' },
  maximum_spend_logs_retention_interval: 'old records are removed without a job',
  alerting,
  alerting_threshold: alerting,
  alerting_args: alerting,
  alert_types: alerting,
  alert_to_webhook_url: alerting,
  spend_report_frequency: alerting,
  custom_auth: hooks,
  custom_key_generate: hooks,
  custom_sso: hooks,
  pass_through_endpoints: {
    why: 'Tallygate forwards a path to the same path of a backend',
    fix: 'list paths in passthrough of the route, with the backend that serves them',
  },
  allowed_ips: { why: 'Tallygate knows callers by credentials', fix: 'use a NetworkPolicy or a firewall' },
  allowed_routes: { why: 'rules allow models and endpoints', fix: 'set endpoints of the allow rules' },
  public_routes: { why: 'a policy admits only callers with credentials', fix: 'use a route of its own' },
  admin_only_routes: administration,
  ui_access_mode: administration,
  enforce_user_param: { why: 'the member user is not verified', fix: 'identify users by keys or tokens' },
  enforced_params: { why: 'Tallygate demands no fields of requests', fix: 'use a webhook of an AIGuardrailPolicy' },
  reject_clientside_metadata_tags: 'Tallygate gives tags no meaning',
  global_max_parallel_requests: {
    why: 'it is converted only as a whole number above 0',
    fix: 'add a quota of ConcurrentRequests',
  },
  max_parallel_requests: {
    why: 'no quota is of one backend',
    fix: 'target the rules with an AIQuotaPolicy (ConcurrentRequests)',
  },
  max_response_size_mb: { why: 'responses are not bounded by size', fix: 'bound their tokens by requestLimits' },
  litellm_key_header_name: {
    why: 'keys are in authorization, x-api-key, api-key or x-goog-api-key',
    fix: 'send one of these headers',
  },
  allow_client_side_credentials: { why: 'it is a property of a backend', fix: 'use credential.type Passthrough' },
  forward_client_headers_to_llm_api: 'headers of clients reach the provider, except credentials',
  forward_openai_org_id: 'headers of clients reach the provider, except credentials',
  completion_model: { why: 'a request must name its model', fix: 'add it to the requests' },
  embedding_model: { why: 'a request must name its model', fix: 'add it to the requests' },
  image_generation_model: { why: 'a request must name its model', fix: 'add it to the requests' },
  moderation_model: { why: 'a request must name its model', fix: 'add it to the requests' },
  background_health_checks: { why: 'health is learned from requests', fix: 'see Healthy of the AIBackend' },
  health_check_interval: { why: 'health is learned from requests', fix: 'see Healthy of the AIBackend' },
  health_check_details: { why: 'health is learned from requests', fix: 'see Healthy of the AIBackend' },
  key_management_system: { why: 'Tallygate reads Secrets', fix: 'let an operator of secrets write them' },
  key_management_settings: { why: 'Tallygate reads Secrets', fix: 'let an operator of secrets write them' },
  use_azure_key_vault: { why: 'Tallygate reads Secrets', fix: 'let an operator of secrets write them' },
  use_google_kms: { why: 'Tallygate reads Secrets', fix: 'let an operator of secrets write them' },
  litellm_license: process,
  user_api_key_cache_ttl: 'a changed key is in force within a second',
  use_x_forwarded_for: process,
  infer_model_from_keys: process,
  coordinate_health_checks: process,
};

const sections: Readonly<Record<string, Explanation>> = {
  callback_settings: logging,
  mcp_servers: { why: 'Tallygate is no gateway for MCP', fix: 'keep another gateway for MCP servers' },
  mcp_tools: { why: 'Tallygate is no gateway for MCP', fix: 'keep another gateway for MCP servers' },
  agents: { why: 'Tallygate is no gateway for agents', fix: 'keep another gateway for agents' },
  agent_list: { why: 'Tallygate is no gateway for agents', fix: 'keep another gateway for agents' },
  search_tools: otherEndpoints,
  finetune_settings: otherEndpoints,
  files_settings: otherEndpoints,
  assistant_settings: otherEndpoints,
  vector_store_registry: otherEndpoints,
  prompts: { why: 'Tallygate keeps no prompts', fix: 'keep them in the clients' },
  policies: { why: 'guardrails apply by targets of a policy', fix: 'use AIGuardrailPolicies with exempt and when' },
  policy_attachments: { why: 'guardrails apply by targets of a policy', fix: 'use targetRefs of AIGuardrailPolicies' },
  include: { why: 'the converter reads no other files', fix: 'name the included files, too' },
};

const params: Readonly<Record<string, Explanation>> = {
  tags,
  mock_response: { why: 'backends are real', fix: 'use the example of tallygate run' },
  organization: { why: 'Tallygate adds no headers', fix: 'send openai-organization in the clients' },
  extra_headers: { why: 'Tallygate adds no headers', fix: 'send them in the clients' },
  headers: { why: 'Tallygate adds no headers', fix: 'send them in the clients' },
  region_name: { why: 'rules do not choose by region', fix: 'use a rule with headers' },
  additional_drop_params: {
    why: 'unsupported: Drop decides about all fields of a conversion',
    fix: 'leave the fields out in the clients',
  },
  azure_ad_token: {
    why: 'a token expires',
    fix: 'use credential.type AzureEntra, which fetches tokens and renews them',
  },
  aws_profile_name: { why: 'Tallygate reads no AWS profiles', fix: 'put the keys of the profile into the Secret' },
  aws_session_name: 'the gateway names its sessions itself',
  aws_web_identity_token: { why: "it is the gateway's own identity", fix: 'remove accessKey from the credential' },
  max_budget: { why: 'no quota is of one backend', fix: 'target the rule with an AIQuotaPolicy (Cost)' },
  budget_duration: { why: 'no quota is of one backend', fix: 'target the rule with an AIQuotaPolicy (Cost)' },
  use_in_pass_through: otherEndpoints,
  guardrails: { why: 'guardrails apply by targets of a policy', fix: 'target the rule with an AIGuardrailPolicy' },
};

const defaultsOfRequests: NoEqual = {
  why: 'Tallygate adds no fields to requests',
  fix: 'set it in the clients',
};

const requestFields =
  /^(temperature|top_p|top_k|max_tokens|max_completion_tokens|n|seed|stop|stream|user|logit_bias|presence_penalty|frequency_penalty|response_format|tools|tool_choice|thinking|reasoning_effort|metadata|extra_body|modalities|system|input_type|dimensions|encoding_format|service_tier|allowed_openai_params)$/;

const infos: Readonly<Record<string, Explanation>> = {
  id: 'a backendRef has no id',
  mode: 'rules serve all endpoints',
  base_model: 'prices are those of the model of the AIBackend',
  description: 'it only describes the model',
  health_check_timeout: 'health is learned from requests',
  health_check_model: 'health is learned from requests',
  disable_background_health_check: 'health is learned from requests',
  max_tokens: 'max_output_tokens and max_input_tokens are the limits',
  db_model: process,
  version: 'it only describes the model',
  access_groups: { why: 'models have no groups', fix: 'list the models in the allow rules of the AIAccessPolicy' },
  team_id: { why: 'rules match models and headers', fix: 'list the model in the allow rule of the tenant' },
  input_cost_per_second: { why: 'prices are of tokens and requests', fix: 'set a price by perRequest' },
  output_cost_per_second: { why: 'prices are of tokens and requests', fix: 'set a price by perRequest' },
};

const callbacks: Readonly<Record<string, Explanation>> = {
  prometheus: 'Tallygate serves metrics at /metrics',
  otel: {
    why: 'resources have no exporters; the process has them',
    fix: 'set OTEL_EXPORTER_OTLP_ENDPOINT (docs/guides/observing.md)',
  },
};

/** Leaves verdicts on the known settings that nothing else has read. */
export function explainOthers(source: LiteLlmSource): void {
  for (const name of ['callbacks', 'success_callback', 'failure_callback', 'service_callbacks', 'service_callback']) {
    const list = source.root.at('litellm_settings', name);
    for (const callback of list?.isList ? list.items : list === undefined ? [] : [list]) {
      const known = callback.text !== undefined && Object.hasOwn(callbacks, callback.text);
      explain(callback, (known && callbacks[callback.text ?? '']) || logging);
    }
  }
  const tables = [
    [source.root.at('router_settings'), router],
    [source.root.at('litellm_settings'), module],
    [source.root.at('general_settings'), general],
  ] as const;
  for (const [section, table] of tables) {
    explainMembers(section?.members ?? new Map(), table);
  }
  for (const [name, explanation] of Object.entries(sections)) {
    explain(source.root.at(name), explanation);
  }
  for (const variable of source.root.at('environment_variables')?.members.values() ?? []) {
    if (variable.verdicts.length === 0) {
      const fix = 'set it where Tallygate runs, if a Secret names it';
      variable.hasNoEqual('resources set no environment variables', fix);
    }
  }
}

/** Leaves verdicts on the fields of a deployment that nothing else has read. */
export function explainDeployment(fields: DeploymentFields): void {
  explainMembers(fields.params, params);
  for (const [name, field] of fields.params) {
    if (requestFields.test(name)) {
      explain(field, defaultsOfRequests);
    }
  }
  explainMembers(fields.entry.at('model_info')?.members ?? new Map(), infos);
  for (const [name, field] of fields.entry.at('model_info')?.members ?? []) {
    if (name.startsWith('supports_')) {
      explain(field, 'requests pass whatever the model supports');
    }
  }
}

function explainMembers(members: ReadonlyMap<string, SourceField>, table: Readonly<Record<string, Explanation>>): void {
  for (const [name, field] of members) {
    const explanation = Object.hasOwn(table, name) ? table[name] : undefined;
    if (explanation !== undefined) {
      explain(field, explanation);
    }
  }
}

function explain(field: SourceField | undefined, explanation: Explanation): void {
  if (field === undefined || hasVerdict(field)) {
    return;
  }
  if (typeof explanation === 'string') {
    field.isNotNeeded(explanation);
  } else {
    field.hasNoEqual(explanation.why, explanation.fix);
  }
}

function hasVerdict(field: SourceField): boolean {
  return field.verdicts.length > 0;
}
