/** The master key, virtual keys and tokens become an AIAccessPolicy. */
import { API_KEY_ANNOTATIONS, API_KEY_FIELD, API_KEY_LABEL } from '../../../contract/api-key.ts';
import { accessPolicySpec } from '../../../crds/access-policy.ts';
import { ObjectDraft } from '../draft.ts';
import { labelOf } from '../names.ts';
import { environmentVariable, SecretDrafts } from '../secrets.ts';
import type { SourceField } from '../source-field.ts';
import type { KeyDrafts } from './keys.ts';
import { GATEWAY_REF, type LiteLlmSource, NAMESPACE, settingOf } from './source.ts';

const MAX_RULES = 64;
const MASTER_KEY = 'LITELLM_MASTER_KEY';
const MASTER_GROUP = 'master-key';

export interface AccessDrafts {
  readonly policy?: ObjectDraft;
  readonly secrets: readonly ObjectDraft[];
}

export function accessDrafts(source: LiteLlmSource, keys: KeyDrafts): AccessDrafts {
  const general = source.root.at('general_settings');
  const masterKey = general?.at('master_key');
  const token = tokens(source);
  const master = masterKey === undefined ? undefined : masterSecret(masterKey, source);
  const hasKeys = master !== undefined || keys.secrets.length > 0;
  if (!hasKeys && token === undefined) {
    const asks = ['custom_auth', 'enable_jwt_auth', 'enable_oauth2_auth', 'enable_oauth2_proxy_auth'];
    const isClosed = asks.some((name) => ![undefined, 'false'].includes(general?.at(name)?.text?.toLowerCase()));
    return { secrets: [], ...(isClosed && { policy: closedPolicy() }) };
  }
  const authenticate: object[] = [
    ...(hasKeys
      ? [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector: { matchLabels: { [API_KEY_LABEL]: 'true' } } } }]
      : []),
    ...(token === undefined ? [] : [token.authenticator]),
  ];
  const { allow, restricted } = allowRules(keys, master !== undefined, token !== undefined);
  const spec = { targetRefs: [GATEWAY_REF], authenticate, allow };
  const policy = new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'callers', namespace: NAMESPACE },
    spec,
  });
  for (const { field, rule } of restricted) {
    field.becomes(policy.place(rule, 'models'));
  }
  if (token !== undefined && restricted.length > 0) {
    policy.comment(
      policy.place(spec, 'allow'),
      'Add rules for the groups of tokens: a rule for all would admit every key.',
    );
  }
  if (token !== undefined) {
    for (const field of token.fields) {
      field.becomes(policy.place(spec, 'authenticate'));
    }
    general?.at('enable_jwt_auth')?.becomes(policy.place(spec, 'authenticate'));
  }
  return { policy, secrets: master === undefined ? [] : [master] };
}

function closedPolicy(): ObjectDraft {
  const spec = { targetRefs: [GATEWAY_REF], allow: [] };
  const draft = new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'callers', namespace: NAMESPACE },
    spec,
  });
  draft.comment(draft.place(spec, 'allow'), 'No way to authenticate could be converted, so nobody is allowed.');
  return draft;
}

function allowRules({ allowed, secrets }: KeyDrafts, hasMaster: boolean, hasTokens: boolean) {
  const restricted: { readonly field: SourceField; readonly rule: object }[] = [];
  if (secrets.length === 0) {
    return { allow: [{ name: 'everyone', principals: [{ authenticated: true }] }], restricted };
  }
  const rules = allowed.slice(0, MAX_RULES - 2).map(({ group, models, field }) => {
    const rule = { name: labelOf(group), principals: [{ group }], ...(models.length > 0 && { models }) };
    if (field !== undefined) {
      restricted.push({ field, rule });
    }
    return rule;
  });
  for (const { field } of allowed.slice(MAX_RULES - 2)) {
    const why = `a policy has at most ${MAX_RULES} rules`;
    field?.hasNoEqual(why, 'put keys with equal models into one group');
  }
  const others = [
    ...(hasMaster ? [{ name: MASTER_GROUP, principals: [{ group: MASTER_GROUP }] }] : []),
    ...(hasTokens && restricted.length === 0 ? [{ name: 'tokens', principals: [{ authenticated: true }] }] : []),
  ];
  return { allow: [...rules, ...others], restricted };
}

function masterSecret(field: SourceField, { secrets }: LiteLlmSource): ObjectDraft {
  const variable = secrets.variable(field, MASTER_KEY);
  const draft = new ObjectDraft({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'master-key',
      namespace: NAMESPACE,
      labels: { [API_KEY_LABEL]: 'true' },
      annotations: { [API_KEY_ANNOTATIONS.user]: 'admin', [API_KEY_ANNOTATIONS.groups]: MASTER_GROUP },
    },
    stringData: { [API_KEY_FIELD]: `\${${variable}}` },
  });
  SecretDrafts.report(field, draft, API_KEY_FIELD, variable);
  const how =
    'The key calls models. It administers nothing: Tallygate has no management API, and keys are Secrets. It needs at least 16 characters.';
  field.differs(draft.place(), how);
  return draft;
}

const claims: Readonly<Record<string, 'tenant' | 'user' | 'groups'>> = {
  team_id_jwt_field: 'tenant',
  user_id_jwt_field: 'user',
  team_ids_jwt_field: 'groups',
};

/** The authenticator of `enable_jwt_auth`; undefined if issuer or audience are not known. */
function tokens(source: LiteLlmSource) {
  const general = source.root.at('general_settings');
  const enabled = general?.at('enable_jwt_auth');
  const settings = general?.at('litellm_jwtauth');
  if (!enabled?.isTrue) {
    enabled?.isNotNeeded('tokens are not accepted');
    return undefined;
  }
  const issuerField = settings?.at('issuer');
  const audienceField = settings?.at('audience');
  const urlField = settings?.at('public_key_url');
  const issuer = settingOf(issuerField, source) ?? variable('JWT_ISSUER', source);
  const audience = settingOf(audienceField, source) ?? variable('JWT_AUDIENCE', source);
  const url = settingOf(urlField, source) ?? variable('JWT_PUBLIC_KEY_URL', source);
  const identity = Object.fromEntries(
    Object.entries(claims).flatMap(([name, member]) => {
      const claim = settings?.at(name)?.text;
      return claim === undefined ? [] : [[member, { claim }]];
    }),
  );
  const isDiscovery = url === undefined || /\/\.well-known\/openid-configuration$/.test(url);
  const authenticator = {
    name: 'tokens',
    type: 'JWT',
    jwt: {
      issuer,
      audiences: [audience],
      ...(isDiscovery ? {} : { jwks: { type: 'URI', uri: url } }),
      ...(Object.keys(identity).length > 0 && { identity }),
    },
  };
  const isValid = accessPolicySpec.safeParse({ targetRefs: [GATEWAY_REF], authenticate: [authenticator] }).success;
  if (!isValid) {
    const why = 'issuer and audience of the tokens are not known';
    enabled.hasNoEqual(why, 'set JWT_ISSUER and JWT_AUDIENCE for the converter, or add an authenticator of type JWT');
    return undefined;
  }
  const named = ['issuer', 'audience', 'public_key_url', ...Object.keys(claims)];
  return { authenticator, fields: named.flatMap((name) => settings?.at(name) ?? []) };
}

function variable(name: string, { root, environment }: LiteLlmSource): string | undefined {
  const field = root.at('environment_variables', name);
  const text = field?.text ?? environment(name);
  return text === undefined || environmentVariable(text) !== undefined ? undefined : text;
}
