/**
 * Generates docs/reference/errors.md: each code in the error shapes of all APIs, as the code
 * writes them.
 */
import { errorTypes, localReplies } from '../contract/refusals.ts';
import { type FailureCode, failure } from '../extproc/errors.ts';
import type { Dialect } from '../extproc/providers/adapter.ts';
import { anthropicDialect } from '../extproc/providers/anthropic/errors.ts';
import { googleDialect } from '../extproc/providers/gemini/errors.ts';
import { openAiDialect } from '../extproc/providers/openai/errors.ts';
import { tgiDialect } from '../extproc/providers/tgi/errors.ts';
import { errorTexts } from './error-texts.ts';
import { notice, page, row, table } from './markdown.ts';

const dialects = [openAiDialect, anthropicDialect, googleDialect, tgiDialect];

export function errorsPage(): string {
  const codes = Object.keys(errorTexts) as FailureCode[];
  const rows = codes.map((code) => {
    const { means, fix } = errorTexts[code];
    return row(`\`${code}\``, String(failure(code, '').status), means, fix);
  });
  const types = codes.map((code) => row(`\`${code}\``, ...dialects.map((dialect) => `\`${typeOf(dialect, code)}\``)));
  return page(
    notice('contract/refusals.ts, extproc/errors.ts and tools/error-texts.ts'),
    '# Errors',
    'Each refusal has the error shape of the API that was called, so official clients raise their own error classes. Codes are stable, so scripts may compare them. Messages may change. Errors of a provider pass unchanged.',
    '## Codes',
    table(['Code', 'Status', 'Meaning', 'Fix'], rows),
    '## Shapes',
    'The body for the code `quota_exceeded` in each API:',
    ...dialects.map(example),
    'The type is `error.type` (OpenAI, Anthropic), `error.status` (Google) or `error_type` (TGI).',
    table(['Code', 'OpenAI', 'Anthropic', 'Google', 'TGI'], types),
    '## From Envoy',
    'Envoy answers some failures itself: no route, an unreachable provider, a timeout, a restart of extproc. These local replies have the same shapes, and keep Envoy’s status and other headers. The first row with the status applies.',
    table(['Status', 'Code', 'OpenAI', 'Anthropic', 'Google', 'TGI', 'Message'], envoyRows()),
    '## Headers',
    table(
      ['Header', 'When'],
      [
        row('`retry-after`', 'If waiting helps: whole seconds, rounded up.'),
        row(
          '`x-should-retry`',
          'On 429: `true` if waiting at most a minute helps, otherwise `false`. The official clients read it.',
        ),
        row(
          '`x-ratelimit-*`, `anthropic-ratelimit-*`',
          'If a quota applies: see [quotas](../guides/quotas.md#headers).',
        ),
      ],
    ),
  );
}

const dialectNames = { openai: 'OpenAI', anthropic: 'Anthropic', google: 'Google', tgi: 'TGI' } as const;

function bodyOf(dialect: Dialect, code: FailureCode): { readonly error: unknown; readonly error_type?: unknown } {
  return JSON.parse(
    Buffer.from(
      dialect.errorBody(failure(code, 'Quota default/teams/hour exceeded: 0 of 1000 tokens remaining.')),
    ).toString(),
  );
}

function typeOf(dialect: Dialect, code: FailureCode): string {
  const { error, error_type } = bodyOf(dialect, code);
  const { status, type } = error as { readonly status?: string; readonly type?: string };
  return String(error_type ?? status ?? type);
}

function example(dialect: Dialect): string {
  return `${dialectNames[dialect.name]}:\n\n\`\`\`json\n${JSON.stringify(bodyOf(dialect, 'quota_exceeded'))}\n\`\`\``;
}

function envoyRows(): readonly string[] {
  return localReplies.map(({ from, to, kind, code, message }) =>
    row(
      from === to ? String(from) : `${from} to ${to}`,
      `\`${code}\``,
      ...(['openai', 'anthropic', 'google', 'tgi'] as const).map((dialect) => `\`${errorTypes[dialect][kind]}\``),
      message,
    ),
  );
}
