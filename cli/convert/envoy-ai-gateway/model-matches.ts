/** Header matches of a rule become models and headers. */
import { modelPattern } from '../../../crds/schema.ts';
import type { SourceField } from '../source-field.ts';

const MODEL_HEADER = 'x-ai-eg-model';
const credentials = ['authorization', 'proxy-authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'cookie'];
const MAX_HEADERS = 8;

export interface ForeignMatch {
  /** None: all models. */
  readonly models: readonly string[];
  readonly headers: readonly object[];
  readonly modelFields: readonly SourceField[];
  readonly headerFields: readonly SourceField[];
  /** How the models differ from the expression. */
  readonly how?: string;
}

/** Undefined if no rule can match the same requests; the fields then say why. */
export function foreignMatch(match: SourceField): ForeignMatch | undefined {
  const fields = match.at('headers')?.items ?? [];
  const isModel = (field: SourceField) => field.at('name')?.text?.toLowerCase() === MODEL_HEADER;
  const [model, ...more] = fields.filter(isModel);
  const others = fields.filter((field) => !isModel(field));
  if (more.length > 0 || others.length > MAX_HEADERS) {
    match.hasNoEqual('a rule matches one model name and at most 8 headers', 'write several rules');
    return undefined;
  }
  const secret = others.find((field) => credentials.includes(field.at('name')?.text?.toLowerCase() ?? ''));
  if (secret !== undefined) {
    match.hasNoEqual('a header with a credential selects the rule', 'say who may use the model by an AIAccessPolicy');
    return undefined;
  }
  const named = model === undefined ? { models: [] } : modelsOf(model);
  if (named === undefined) {
    model?.hasNoEqual('no glob matches the same names', 'list the models in a rule');
    return undefined;
  }
  const headers = others.map((field) => ({
    ...(field.at('type')?.text === 'RegularExpression' && { type: 'RegularExpression' }),
    name: field.at('name')?.text,
    value: field.at('value')?.text,
  }));
  return {
    ...named,
    headers,
    modelFields: model === undefined ? [] : [model],
    headerFields: others,
  };
}

function modelsOf(field: SourceField): { readonly models: readonly string[]; readonly how?: string } | undefined {
  const value = field.at('value')?.text ?? '';
  if (field.at('type')?.text !== 'RegularExpression') {
    // A name with ".*" can only be meant as an expression; as a name, no request has it.
    const isName = modelPattern.safeParse(value).success && !value.includes('*');
    return isName ? { models: [value] } : undefined;
  }
  const alternatives = /^\^?\((?:\?:)?([^()]*)\)\$?$/.exec(value)?.[1]?.split('|') ?? value.split('|');
  const globs = alternatives.map(globOf);
  if (globs.some((each) => each === undefined)) {
    return undefined;
  }
  const isLoose = /(^|[^\\])\.(?!\*)|\.\+/.test(value);
  return {
    models: globs.filter((each) => each !== undefined),
    ...(isLoose && { how: 'The dots of the expression are dots here, and .+ is *.' }),
  };
}

/** A glob for an expression of letters, dots and `.*`. */
function globOf(expression: string): string | undefined {
  const text = expression
    .replace(/^\^/, '')
    .replace(/\$$/, '')
    .replaceAll(/\.[*+]\??/g, '*');
  const glob = text.replaceAll(/\\([.\-/_:@])/g, '$1');
  return /[\\+?()[\]{}|^$]/.test(glob) || !modelPattern.safeParse(glob).success ? undefined : glob;
}
