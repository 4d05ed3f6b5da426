/** Guardrails of LiteLLM become rules of an AIGuardrailPolicy. */
import { guardrailPolicySpec } from '../../../crds/guardrail-policy.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import { UniqueLabels } from '../names.ts';
import { SecretDrafts } from '../secrets.ts';
import type { SourceField } from '../source-field.ts';
import { contentFilter } from './content-filter.ts';
import type { GuardrailRuleDraft } from './guardrail-rule.ts';
import { GATEWAY_REF, type LiteLlmSource, NAMESPACE, settingOf } from './source.ts';

const MAX_RULES = 32;

interface GuardrailEntry {
  readonly entry: SourceField;
  readonly params: SourceField;
  readonly source: LiteLlmSource;
}

type GuardrailConverter = (entry: GuardrailEntry) => readonly GuardrailRuleDraft[];

const converters: Readonly<Record<string, GuardrailConverter>> = {
  presidio,
  'hide-secrets': hideSecrets,
  hide_secrets: hideSecrets,
  lakera,
  lakera_v2: lakera,
  openai_moderation: moderation,
  litellm_content_filter: ({ params }) => contentFilter(params),
};

/** Undefined if the source has no guardrail that Tallygate has, too. */
export function guardrailDraft(source: LiteLlmSource): ObjectDraft | undefined {
  const rules: object[] = [];
  const spec = { targetRefs: [GATEWAY_REF], rules };
  const draft = new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIGuardrailPolicy',
    metadata: { name: 'guardrails', namespace: NAMESPACE },
    spec,
  });
  const labels = new UniqueLabels();
  for (const entry of source.root.items('guardrails')) {
    const params = entry.at('litellm_params');
    const name = params?.at('guardrail')?.text ?? '';
    const converter = Object.hasOwn(converters, name) ? converters[name] : undefined;
    if (params === undefined || converter === undefined) {
      entry.hasNoEqual(
        `Tallygate has no detector for the service ${JSON.stringify(name.slice(0, 64))}`,
        'put it behind a webhook, as the reference of the guardrail webhook describes',
      );
      continue;
    }
    addRules({ entry, params, source }, converter, { draft, rules, labels });
  }
  return rules.length === 0 ? undefined : draft;
}

interface RuleTarget {
  readonly draft: ObjectDraft;
  readonly rules: object[];
  readonly labels: UniqueLabels;
}

function addRules(
  guardrail: GuardrailEntry,
  converter: GuardrailConverter,
  { draft, rules, labels }: RuleTarget,
): void {
  const { entry, params } = guardrail;
  const title = entry.at('guardrail_name')?.text ?? params.at('guardrail')?.text ?? 'rule';
  const phases = phasesOf(params);
  const monitors = params.at('mode')?.texts.every((mode) => mode === 'logging_only') === true;
  const written = converter(guardrail).flatMap(({ suffix, detect, action, fields }) => {
    const rule = {
      name: labels.next(suffix === undefined ? title : `${title}-${suffix}`),
      ...(phases !== undefined && { phases }),
      detect,
      action: monitors ? { type: 'Monitor' } : action,
    };
    const isValid = guardrailPolicySpec.safeParse({ targetRefs: [GATEWAY_REF], rules: [rule] }).success;
    return isValid && rules.length < MAX_RULES ? [{ rule, fields }] : [];
  });
  const [first] = written;
  if (first === undefined) {
    entry.hasNoEqual('none of its settings makes a rule', 'write a rule of an AIGuardrailPolicy');
    return;
  }
  rules.push(...written.map(({ rule }) => rule));
  for (const { rule, fields } of written) {
    for (const field of fields) {
      if (field.verdicts.length === 0) {
        field.becomes(draft.place(rule, 'detect'));
      }
    }
  }
  reportEntry(guardrail, (key) => draft.place(first.rule, key), phases !== undefined);
}

/** Undefined for both. */
function phasesOf(params: SourceField): readonly string[] | undefined {
  const modes = params.at('mode')?.texts ?? ['pre_call'];
  const scope = params.at('presidio_filter_scope')?.text;
  const phases = [
    ...(modes.some((mode) => /^(pre_call|during_call|pre_mcp_call|logging_only)$/.test(mode)) ? ['Request'] : []),
    ...(modes.some((mode) => /^(post_call|logging_only)$/.test(mode)) ? ['Response'] : []),
  ];
  const chosen = scope === 'input' ? ['Request'] : scope === 'output' ? ['Response'] : scope === 'both' ? [] : phases;
  return chosen.length === 1 ? chosen : undefined;
}

function reportEntry({ entry, params }: GuardrailEntry, place: (key: string) => Place, hasPhases: boolean): void {
  entry.at('guardrail_name')?.becomes(place('name'));
  params.at('guardrail')?.becomes(place('detect'));
  params.at('presidio_filter_scope')?.becomes(place(hasPhases ? 'phases' : 'name'));
  const mode = params.at('mode');
  if (mode?.texts.includes('during_call')) {
    mode.differs(place('name'), 'The request waits for the verdict before it is sent; during_call runs beside it.');
  } else if (mode?.texts.includes('post_call')) {
    mode.differs(place('name'), 'Answers are examined while they stream; LiteLLM examines the whole answer.');
  } else {
    mode?.becomes(place(hasPhases ? 'phases' : 'name'));
  }
  const isDefault = params.at('default_on');
  if (isDefault?.isTrue) {
    isDefault.becomes(place('name'));
  } else {
    const how =
      'The rule applies to all requests. In LiteLLM, requests ask for the guardrail by its name; use when and exempt for exceptions.';
    (isDefault ?? entry.at('guardrail_name') ?? entry).differs(place('name'), how);
  }
}

function presidio({ params, source }: GuardrailEntry): readonly GuardrailRuleDraft[] {
  const base = params.at('presidio_analyzer_api_base') ?? params.at('api_base');
  const stated = settingOf(base, source) ?? source.environment('PRESIDIO_ANALYZER_API_BASE');
  const url =
    stated !== undefined && /^https?:\/\/[^\s#@/]+(\/[^\s#]*)?$/.test(stated) ? stated : 'http://127.0.0.1:5002';
  if (base !== undefined && url !== stated) {
    base.hasNoEqual('the URL of the analyzer is not known here', 'set url of the rule');
  }
  const language = params.at('presidio_language');
  const thresholds = params.at('presidio_score_thresholds');
  const all = thresholds?.at('ALL');
  const service = {
    url,
    ...(language?.text !== undefined && { language: language.text }),
    ...(all?.number !== undefined && { scoreThreshold: all.number }),
  };
  const restore = params.at('output_parse_pii');
  const mask = { type: 'Mask', ...(restore?.isTrue && { mask: { restore: true } }) };
  const entities = [...(params.at('pii_entities_config')?.members ?? [])];
  const fields = [base, language, all, restore].filter((each) => each !== undefined);
  for (const [name, field] of thresholds?.members ?? []) {
    if (name !== 'ALL') {
      field.hasNoEqual('a rule has one scoreThreshold', 'give the entity a rule of its own');
    }
  }
  const anonymizer = params.at('presidio_anonymizer_api_base');
  anonymizer?.isNotNeeded('Tallygate replaces the findings itself');
  if (entities.length === 0) {
    return [{ detect: { type: 'Presidio', presidio: service }, action: mask, fields }];
  }
  return (['MASK', 'BLOCK'] as const).flatMap((type) => {
    const of = entities.filter(([, action]) => action.text?.toUpperCase() === type);
    const detect = { type: 'Presidio', presidio: { ...service, entities: of.map(([name]) => name) } };
    const action = type === 'MASK' ? mask : { type: 'Block' };
    return of.length === 0
      ? []
      : [{ suffix: type.toLowerCase(), detect, action, fields: [...fields, ...of.map(([, field]) => field)] }];
  });
}

function hideSecrets({ params }: GuardrailEntry): readonly GuardrailRuleDraft[] {
  params
    .at('detect_secrets_config')
    ?.hasNoEqual('the detector Secret has no plugins', 'add expressions with a rule of type Pattern');
  return [{ detect: { type: 'Builtin', builtin: { detectors: ['Secret'] } }, action: { type: 'Mask' }, fields: [] }];
}

function keyed({ params, source }: GuardrailEntry, wanted: string): { readonly secretRef: object } {
  const key = params.at('api_key');
  const variable = key === undefined ? wanted : source.secrets.variable(key, wanted);
  const secret = source.secrets.secret(variable, { 'api-key': `\${${variable}}` });
  if (key !== undefined) {
    SecretDrafts.report(key, secret, 'api-key', variable);
  }
  return { secretRef: { name: secret.object.metadata.name } };
}

function lakera(guardrail: GuardrailEntry): readonly GuardrailRuleDraft[] {
  const { params, source } = guardrail;
  const base = settingOf(params.at('api_base'), source);
  const project = params.at('project_id');
  const service = {
    ...keyed(guardrail, 'LAKERA_API_KEY'),
    ...(base !== undefined && { url: /\/v2\/guard$/.test(base) ? base : `${base.replace(/\/+$/, '')}/v2/guard` }),
    ...(project?.text !== undefined && { projectID: project.text }),
  };
  params.at('category_thresholds')?.hasNoEqual('version 2 of Lakera decides by the project', 'set them in the project');
  const onFlagged = params.at('on_flagged');
  const action = onFlagged?.text === 'monitor' ? { type: 'Monitor' } : { type: 'Block' };
  const fields = [params.at('api_base'), project, onFlagged].filter((each) => each !== undefined);
  return [{ detect: { type: 'Lakera', lakera: service }, action, fields }];
}

function moderation(guardrail: GuardrailEntry): readonly GuardrailRuleDraft[] {
  const model = guardrail.params.at('model');
  const service = { ...keyed(guardrail, 'OPENAI_API_KEY'), ...(model?.text !== undefined && { model: model.text }) };
  const fields = model === undefined ? [] : [model];
  return [{ detect: { type: 'OpenAIModeration', openAIModeration: service }, action: { type: 'Block' }, fields }];
}
