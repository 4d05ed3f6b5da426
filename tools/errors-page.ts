/** docs/reference/errors.md: each code with what the three dialects make of it, by asking the dialects themselves. */
import { type FailureCode, failure } from '../extproc/errors.ts';
import type { Dialect } from '../extproc/providers/adapter.ts';
import { anthropicDialect } from '../extproc/providers/anthropic/errors.ts';
import { openAiDialect } from '../extproc/providers/openai/errors.ts';
import { tgiDialect } from '../extproc/providers/tgi/errors.ts';
import { localReplies } from '../translate/envoy/local-replies.ts';
import { errorTexts } from './error-texts.ts';
import { notice, page, row, table } from './markdown.ts';

export function errorsPage(): string {
  const codes = Object.keys(errorTexts) as FailureCode[];
  const rows = codes.map((code) => {
    const { means, fix } = errorTexts[code];
    return row(`\`${code}\``, String(failure(code, '').status), means, fix);
  });
  const types = codes.map((code) =>
    row(
      `\`${code}\``,
      ...[openAiDialect, anthropicDialect, tgiDialect].map((dialect) => `\`${typeOf(dialect, code)}\``),
    ),
  );
  return page(
    notice('extproc/errors.ts, tools/error-texts.ts and translate/envoy/local-replies.ts'),
    '# Errors',
    'Every refusal is written in the error shape of the API that was called, so official clients raise their own error classes. The code is stable; scripts may compare it. Messages may change. Errors of a provider pass as they are.',
    '## Codes',
    table(['Code', 'Status', 'Means', 'Fix'], rows),
    '## Shapes',
    'The body for the code `quota_exceeded`, in each dialect:',
    ...[openAiDialect, anthropicDialect, tgiDialect].map(example),
    'The type stands in `error.type` (OpenAI, Anthropic) or `error_type` (TGI).',
    table(['Code', 'OpenAI', 'Anthropic', 'TGI'], types),
    '## From Envoy',
    'Some failures are met by Envoy alone: no route, a provider that cannot be reached, a timeout, extproc that is being started again. Their bodies have the same shapes; those for Anthropic and TGI clients have no `code`.',
    table(['Status', 'Code', 'OpenAI', 'Anthropic', 'TGI', 'Message'], envoyRows()),
    '## Headers',
    table(
      ['Header', 'When'],
      [
        row('`retry-after`', 'Waiting helps; whole seconds, rounded up.'),
        row(
          '`x-should-retry`',
          'On 429: `true` where waiting at most a minute helps, else `false`. The official clients read it.',
        ),
        row('`x-ratelimit-*`, `anthropic-ratelimit-*`', 'A quota holds: see [quotas](../guides/quotas.md#headers).'),
      ],
    ),
  );
}

const dialectNames = { openai: 'OpenAI', anthropic: 'Anthropic', tgi: 'TGI' } as const;

function bodyOf(dialect: Dialect, code: FailureCode): { readonly error: unknown; readonly error_type?: unknown } {
  return JSON.parse(
    Buffer.from(dialect.errorBody(failure(code, 'The quota default/teams/hour (1000 tokens) is used up.'))).toString(),
  );
}

function typeOf(dialect: Dialect, code: FailureCode): string {
  const { error, error_type } = bodyOf(dialect, code);
  return String(error_type ?? (error as { readonly type: string }).type);
}

function example(dialect: Dialect): string {
  return `${dialectNames[dialect.name]}:\n\n\`\`\`json\n${JSON.stringify(bodyOf(dialect, 'quota_exceeded'))}\n\`\`\``;
}

interface Mapper {
  readonly filter: { readonly extension_filter: { readonly typed_config: { readonly expression: string } } };
  readonly body_format_override: { readonly text_format_source: { readonly inline_string: string } };
}

/** The mappers stand in three runs, one for each dialect: Anthropic, TGI, and OpenAI for all else. */
function envoyRows(): readonly string[] {
  const mappers = localReplies()['mappers'] as unknown as readonly Mapper[];
  const each = mappers.length / 3;
  const body = (mapper: Mapper) =>
    JSON.parse(mapper.body_format_override.text_format_source.inline_string.replaceAll('%%', '%'));
  return mappers.slice(2 * each).map((mapper, index) => {
    const { error } = body(mapper);
    const { expression } = mapper.filter.extension_filter.typed_config;
    const statuses = /\(([^()]*)\)$/.exec(expression)?.[1] ?? '';
    return row(
      statuses === 'true'
        ? 'others'
        : statuses
            .replaceAll('response.code ', '')
            .replaceAll('== ', '')
            .replaceAll('||', 'or')
            .replaceAll('< 500', 'other 4xx'),
      `\`${error.code}\``,
      `\`${error.type}\``,
      `\`${body(mappers[index]!).error.type}\``,
      `\`${body(mappers[each + index]!).error_type}\``,
      error.message,
    );
  });
}
