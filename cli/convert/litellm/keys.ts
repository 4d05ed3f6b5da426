/**
 * Virtual keys and teams, as LiteLLM's management API lists them, become Secrets with API keys.
 * Groups of a key say which models it may use and which budgets it has.
 */
import {
  API_KEY_ANNOTATIONS,
  API_KEY_HASH_FIELD,
  API_KEY_LABEL,
  apiKeyHash,
  isApiKeyText,
} from '../../../contract/api-key.ts';
import { modelPattern } from '../../../crds/schema.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import { labelOf, UniqueLabels } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import { addBudget, type BudgetFields, type QuotaDrafts } from './budgets.ts';
import { type LiteLlmSource, NAMESPACE } from './source.ts';

/** Callers of a group, and the models that they may use; no models: all. */
export interface AllowedGroup {
  readonly group: string;
  readonly models: readonly string[];
  readonly field?: SourceField;
}

export interface KeyDrafts {
  readonly secrets: readonly ObjectDraft[];
  readonly allowed: readonly AllowedGroup[];
}

const ALL_MODELS = 'all-models';
const MAX_MODELS = 64;

/** Groups of equal budgets: the callers of one group have one quota, each key its own budget. */
class BudgetGroups {
  readonly #names = new Map<string, string>();
  readonly #source: LiteLlmSource;
  readonly #quotas: QuotaDrafts;

  constructor(source: LiteLlmSource, quotas: QuotaDrafts) {
    this.#source = source;
    this.#quotas = quotas;
  }

  /** Returns the group for a key or a team with limits; undefined if it has none. */
  groupOf(owner: SourceField, kind: 'key' | 'team'): string | undefined {
    const fields: BudgetFields = {
      max: owner.at('max_budget'),
      soft: owner.at('soft_budget'),
      duration: owner.at('budget_duration'),
      rpm: owner.at('rpm_limit'),
      tpm: owner.at('tpm_limit'),
      parallel: owner.at('max_parallel_requests'),
    };
    const values = Object.values(fields).map((field: SourceField | undefined) => field?.text);
    if (values.every((each) => each === undefined)) {
      return undefined;
    }
    const identity = JSON.stringify([kind, values]);
    const known = this.#names.get(identity);
    if (known !== undefined) {
      for (const field of Object.values(fields) as (SourceField | undefined)[]) {
        field?.isNotNeeded('the quota of another one with the same limits counts for it, too, with its own budget');
      }
      return known;
    }
    const name = `${kind}-limits-${this.#names.size + 1}`;
    this.#names.set(identity, name);
    const key = [{ type: kind === 'key' ? 'APIKey' : 'Tenant' }];
    addBudget(fields, { name, key, when: `"${name}" in caller.groups` }, this.#quotas, this.#source);
    return name;
  }
}

export function keyDrafts(source: LiteLlmSource, quotas: QuotaDrafts): KeyDrafts {
  const budgets = new BudgetGroups(source, quotas);
  const allowed = new Map<string, AllowedGroup>();
  const teams = new Map(
    source.root.items('teams').flatMap((team) => {
      const id = team.at('team_id')?.text;
      return id === undefined ? [] : [[id, teamOf(team, budgets, allowed)] as const];
    }),
  );
  const labels = new UniqueLabels();
  const secrets = source.root.items('keys').flatMap((key) => secretOf(key, teams, budgets, allowed, labels) ?? []);
  for (const team of source.root.items('teams')) {
    reportTeam(team, secrets);
  }
  return { secrets, allowed: [...allowed.values()] };
}

function teamOf(team: SourceField, budgets: BudgetGroups, allowed: Map<string, AllowedGroup>): readonly string[] {
  const id = team.at('team_alias')?.text ?? team.at('team_id')?.text ?? '';
  return [
    modelGroup(team.at('models'), `team-${labelOf(id)}`, allowed) ?? ALL_MODELS,
    ...[budgets.groupOf(team, 'team')].filter((each) => each !== undefined),
  ];
}

/** Undefined if the models are not restricted. */
function modelGroup(
  field: SourceField | undefined,
  group: string,
  allowed: Map<string, AllowedGroup>,
): string | undefined {
  const names = field?.texts ?? [];
  const isAll = names.length === 0 || names.some((name) => /^(\*|all-proxy-models|all-team-models)$/.test(name));
  if (isAll) {
    allowed.set(ALL_MODELS, { group: ALL_MODELS, models: [] });
    field?.isNotNeeded('all models are allowed');
    return undefined;
  }
  const models = [...new Set(names)].filter((name) => modelPattern.safeParse(name).success).slice(0, MAX_MODELS);
  allowed.set(group, { group, models: models.length > 0 ? models : ['no-such-model'], ...(field && { field }) });
  return group;
}

function secretOf(
  key: SourceField,
  teams: ReadonlyMap<string, readonly string[]>,
  budgets: BudgetGroups,
  allowed: Map<string, AllowedGroup>,
  labels: UniqueLabels,
): ObjectDraft | undefined {
  const token = key.at('token') ?? key.at('key');
  const hash = hashOf(token?.text ?? '');
  if (hash === undefined || key.at('blocked')?.isTrue) {
    const why = hash === undefined ? 'token is neither a SHA-256 nor a key' : 'the key is blocked';
    key.hasNoEqual(why, 'create a new key by tallygate key create');
    return undefined;
  }
  const alias = key.at('key_alias')?.text ?? key.at('key_name')?.text ?? 'key';
  const name = labels.next(`key-${alias}`);
  const team = key.at('team_id');
  const [ofModels = ALL_MODELS, ...ofBudgets] = teams.get(team?.text ?? '') ?? [];
  const own = modelGroup(key.at('models'), name, allowed);
  if (own === undefined && ofModels === ALL_MODELS) {
    allowed.set(ALL_MODELS, { group: ALL_MODELS, models: [] });
  }
  const groups = [own ?? ofModels, ...ofBudgets, budgets.groupOf(key, 'key')].filter((each) => each !== undefined);
  const expires = expiryOf(key.at('expires')?.text);
  const annotations: Record<string, string> = {
    ...(team?.text !== undefined && { [API_KEY_ANNOTATIONS.tenant]: team.text.slice(0, 256) }),
    ...(key.at('user_id')?.text !== undefined && {
      [API_KEY_ANNOTATIONS.user]: key.at('user_id')?.text?.slice(0, 256) ?? '',
    }),
    [API_KEY_ANNOTATIONS.groups]: groups.join(','),
    ...(expires !== undefined && { [API_KEY_ANNOTATIONS.expires]: expires }),
  };
  const draft = new ObjectDraft({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: NAMESPACE, labels: { [API_KEY_LABEL]: 'true' }, annotations },
    stringData: { [API_KEY_HASH_FIELD]: hash },
  });
  reportKey(key, draft, annotations);
  return draft;
}

/** LiteLLM keeps the SHA-256 of a key, as Tallygate does. */
function hashOf(token: string): string | undefined {
  if (/^[0-9a-f]{64}$/i.test(token)) {
    return `sha256:${token.toLowerCase()}`;
  }
  return isApiKeyText(token) ? apiKeyHash(token) : undefined;
}

function expiryOf(text: string | undefined): string | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`);
  return time >= 0 ? new Date(time).toISOString() : undefined;
}

const keptBy = 'Tallygate keeps its own records of usage';

function reportKey(key: SourceField, draft: ObjectDraft, annotations: object): void {
  const place = (name: string): Place => draft.place(annotations, name);
  (key.at('token') ?? key.at('key'))?.becomes(draft.place(draft.object.stringData ?? draft.object, API_KEY_HASH_FIELD));
  key.at('key_alias')?.becomes(draft.place(draft.object.metadata, 'name'));
  key.at('key_name')?.isNotNeeded('it shows the end of the key');
  key.at('team_id')?.becomes(place(API_KEY_ANNOTATIONS.tenant));
  key.at('user_id')?.becomes(place(API_KEY_ANNOTATIONS.user));
  if (API_KEY_ANNOTATIONS.expires in annotations) {
    key.at('expires')?.becomes(place(API_KEY_ANNOTATIONS.expires));
  }
  key.at('blocked')?.isNotNeeded('the key is not blocked');
  for (const name of [
    'spend',
    'model_spend',
    'budget_reset_at',
    'created_at',
    'updated_at',
    'created_by',
    'updated_by',
  ]) {
    key.at(name)?.isNotNeeded(keptBy);
  }
}

function reportTeam(team: SourceField, secrets: readonly ObjectDraft[]): void {
  const id = team.at('team_id');
  const member = secrets.find(
    ({ object }) => object.metadata.annotations?.[API_KEY_ANNOTATIONS.tenant] === id?.text && id !== undefined,
  );
  if (member === undefined) {
    team.hasNoEqual('no key of the file belongs to the team', 'export its keys, too, or create some');
    return;
  }
  id?.becomes(member.place(member.object.metadata.annotations ?? member.object, API_KEY_ANNOTATIONS.tenant));
  team.at('team_alias')?.isNotNeeded('Tallygate names a tenant by team_id');
  for (const name of [
    'spend',
    'budget_reset_at',
    'created_at',
    'updated_at',
    'members',
    'members_with_roles',
    'admins',
  ]) {
    team.at(name)?.isNotNeeded(name.startsWith('member') || name === 'admins' ? 'keys name their users' : keptBy);
  }
}
