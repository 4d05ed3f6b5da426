/** LiteLLM's content filter: patterns and words, as the gateway's own detectors. */
import { patternFault, patternMatcher } from '../../../contract/pattern.ts';
import type { SourceField } from '../source-field.ts';
import type { GuardrailRuleDraft } from './guardrail-rule.ts';

/** LiteLLM's prebuilt patterns. */
const prebuilt: Readonly<Record<string, string>> = {
  us_ssn: 'USSocialSecurityNumber',
  email: 'Email',
  phone: 'Phone',
  us_phone: 'Phone',
  visa: 'CreditCard',
  mastercard: 'CreditCard',
  amex: 'CreditCard',
  discover: 'CreditCard',
  credit_card: 'CreditCard',
  iban: 'IBAN',
  ipv4: 'IPAddress',
  ipv6: 'IPAddress',
  mac_address: 'MACAddress',
  aws_access_key: 'Secret',
  aws_secret_key: 'Secret',
  github_token: 'Secret',
  slack_token: 'Secret',
  generic_api_key: 'Secret',
};

interface Found {
  readonly block: boolean;
  readonly detector?: string;
  readonly expression?: string;
  readonly fields: readonly SourceField[];
}

const MAX_EXPRESSIONS = 64;

export function contentFilter(params: SourceField): readonly GuardrailRuleDraft[] {
  const found = [
    ...(params.at('patterns')?.items ?? []).flatMap(ofPattern),
    ...(params.at('blocked_words')?.items ?? []).flatMap(ofWord),
  ];
  params
    .at('categories')
    ?.hasNoEqual('Tallygate has no lists of words by category', 'use OpenAIModeration, Lakera or Model in a rule');
  params
    .at('blocked_words_file')
    ?.hasNoEqual('the converter reads no other files', 'put the words into expressions of a rule of type Pattern');
  for (const name of ['pattern_redaction_format', 'keyword_redaction_tag']) {
    params.at(name)?.hasNoEqual('a placeholder is the type and the number of a finding', 'set mask.placeholder');
  }
  return [true, false].flatMap((block) => {
    const of = found.filter((each) => each.block === block);
    const detectors = [...new Set(of.flatMap(({ detector }) => detector ?? []))];
    const expressions = of.flatMap(({ expression }) => expression ?? []).slice(0, MAX_EXPRESSIONS);
    const action = { type: block ? 'Block' : 'Mask' };
    const name = block ? 'block' : 'mask';
    return [
      ...(detectors.length === 0
        ? []
        : [
            {
              suffix: `${name}-values`,
              detect: { type: 'Builtin', builtin: { detectors } },
              action,
              fields: of.filter(({ detector }) => detector !== undefined).flatMap(({ fields }) => fields),
            },
          ]),
      ...(expressions.length === 0
        ? []
        : [
            {
              suffix: `${name}-patterns`,
              detect: { type: 'Pattern', pattern: { expressions } },
              action,
              fields: of.filter(({ expression }) => expression !== undefined).flatMap(({ fields }) => fields),
            },
          ]),
    ];
  });
}

function isBlock(item: SourceField): boolean {
  return item.at('action')?.text?.toUpperCase() !== 'MASK';
}

function ofPattern(item: SourceField): readonly Found[] {
  const fields = [...item.members.values()];
  const name = item.at('pattern_name')?.text ?? '';
  if (item.at('pattern_type')?.text === 'prebuilt' || item.at('pattern') === undefined) {
    const detector = Object.hasOwn(prebuilt, name) ? prebuilt[name] : undefined;
    if (detector === undefined) {
      item.hasNoEqual('Tallygate has no detector of these values', 'write an expression with a rule of type Pattern');
      return [];
    }
    return [{ block: isBlock(item), detector, fields }];
  }
  const expression = item.at('pattern')?.text ?? '';
  const fault = expression === '' ? 'is empty' : expressionFault(expression);
  if (fault !== undefined) {
    item.hasNoEqual(
      `the expression ${fault}`,
      'write it in RE2 syntax, which has no look-around and no backreferences',
    );
    return [];
  }
  return [{ block: isBlock(item), expression, fields }];
}

function expressionFault(expression: string): string | undefined {
  return expression.length > 512
    ? 'has more than 512 characters'
    : (patternFault(expression)?.message ?? (patternMatcher(expression)('') ? 'matches the empty text' : undefined));
}

function ofWord(item: SourceField): readonly Found[] {
  const word = item.at('keyword')?.text ?? '';
  if (word === '') {
    item.hasNoEqual('the keyword is empty', 'remove it');
    return [];
  }
  const expression = `(?i)${word.replaceAll(/[.+*?^${}()|[\]\\]/g, '\\$&')}`;
  if (expressionFault(expression) !== undefined) {
    item.hasNoEqual(`the keyword ${expressionFault(expression)}`, 'use a shorter one');
    return [];
  }
  item.at('description')?.isNotNeeded('it only describes the word');
  return [{ block: isBlock(item), expression, fields: [...item.members.values()] }];
}
