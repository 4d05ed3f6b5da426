/**
 * Generates docs/reference/environment.md and command-line.md from the list of variables and each
 * command's help.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Settings, variables } from '../cli/environment.ts';
import type { Address } from '../runtime/environment.ts';
import { notice, page, row, table } from './markdown.ts';

interface VariableTexts {
  readonly description: string;
  /** Replaces the default in the code if that depends on the machine. */
  readonly fallback?: string;
  readonly flag?: string;
}

const texts: Readonly<Record<keyof Settings, VariableTexts>> = {
  TALLYGATE_LOG_LEVEL: { description: 'The lowest level that is logged to stderr.' },
  TALLYGATE_ACCESS_LOG: { description: 'Writes one JSON line per request to stdout.' },
  TALLYGATE_METRIC_KEYS: {
    description:
      'How metrics show the values of quota keys (teams, users): unchanged, or as SHA-256. Hashes of short values can be guessed.',
  },
  TALLYGATE_USAGE_DAYS: {
    description: 'The days for which `tallygate usage` keeps sums by hour; 0: requests leave no usage records.',
  },
  TALLYGATE_USAGE_REQUEST_DAYS: {
    description:
      'The days for which single requests are kept, for `tallygate explain` and sums by session; 0 keeps only sums by hour. The oldest are removed sooner where the file of usage is larger than 512 MB.',
  },
  TALLYGATE_QUOTA_KEYS: {
    description:
      'The most [keys](../guides/quotas.md#keys) of all quotas that are kept in memory, about 1 KB each. One quota takes at most three quarters of them.',
  },
  TALLYGATE_USAGE_EXPORT: {
    description:
      'Exports the [usage](../guides/usage.md#exports) of each request: `otlp+http://HOST:4318/v1/logs` as OTLP log records, `cloudevents+https://HOST/PATH` as CloudEvents.',
    fallback: 'no exports',
  },
  TALLYGATE_USAGE_EXPORT_HEADERS: {
    description: 'Headers of these exports, such as `authorization=Bearer%20TOKEN`.',
    fallback: 'none',
  },
  TALLYGATE_CONTENT_EXPORT: {
    description:
      'Where the [content](../guides/content.md#destinations) goes that an AIContentPolicy keeps: `otlp+http://HOST:4318/v1/logs` or `otlp+http://HOST:4317?protocol=grpc` for `OTLPLogs`, `s3://BUCKET/PREFIX?region=REGION` or `s3+https://HOST/BUCKET/PREFIX?region=REGION` for `S3`; a bucket may have `&encryption=AES256` or `&encryption=aws:kms&kms-key=KEY`.',
    fallback: 'nowhere',
  },
  TALLYGATE_CONTENT_EXPORT_HEADERS: {
    description: 'Headers for that collector, such as `authorization=Bearer%20TOKEN`.',
    fallback: 'none',
  },
  TALLYGATE_CONTENT_S3_KEY_ID: {
    description: 'The id of the access key for the bucket of content.',
    fallback: 'the [identity](../guides/content.md#credentials-of-the-bucket) that AWS gives to this process',
  },
  TALLYGATE_CONTENT_S3_SECRET_KEY: { description: 'The secret of this access key.' },
  TALLYGATE_CONTENT_S3_SESSION_TOKEN: { description: 'The session token of this access key, if it is temporary.' },
  TALLYGATE_ERROR_DETAIL: {
    description:
      'The messages of refusals: `full` names the quota, rule or limit that refuses; `plain` is one fixed message per code. Code, status, `param` and headers are the same, and access lines keep the names.',
  },
  TALLYGATE_QUOTA_STORE_URL: {
    description:
      'The Redis or Valkey in which several gateways [share budgets](../guides/shared-store.md). `tallygate extproc --controller` takes it from the controller instead.',
  },
  TALLYGATE_QUOTA_STORE_PASSWORD_FILE: { description: 'A file with the password, instead of one in the URL.' },
  TALLYGATE_QUOTA_STORE_SENTINEL_PASSWORD_FILE: { description: 'A file with the password of the Sentinels.' },
  TALLYGATE_QUOTA_STORE_CA_FILE: {
    description: 'The CA certificates that verify the store.',
    fallback: 'those of Node',
  },
  TALLYGATE_TOKEN_PROXY: {
    description:
      'Where requests for [tokens of clouds](../guides/providers.md#tokens-of-clouds) go instead: this URL, followed by the host and path of the token endpoint. The `host` header stays.',
    fallback: 'the token endpoints of the clouds',
  },
  TALLYGATE_ENVOY: {
    description: 'The Envoy to run, 1.40 or newer.',
    flag: '--envoy',
    fallback: '`.tools/bin/envoy` of the checkout, then `envoy` on the PATH',
  },
  TALLYGATE_ADDRESS: {
    description: 'The address to which the listeners of Gateways bind. `0.0.0.0` opens them to the network.',
    flag: '--address',
  },
  TALLYGATE_CONSOLE: {
    description: 'Whether `tallygate run` serves the [console](../guides/console.md): `on` or `off`.',
  },
  TALLYGATE_CONSOLE_OPERATORS: {
    description:
      'Who sees the rows of all tenants in the [console](../guides/console.md#operators), and may stop requests.',
  },
  TALLYGATE_METRICS_ADDRESS: {
    description: 'The address of the console, `/metrics`, `/healthz` and `/readyz`.',
    flag: '--metrics',
  },
  TALLYGATE_CONCURRENCY: { description: 'Worker threads of Envoy.', flag: '--concurrency', fallback: 'one per core' },
  TALLYGATE_DRAIN_TIMEOUT: {
    description: 'Seconds for open streams to end after SIGTERM or Ctrl-C.',
    flag: '--drain-timeout',
  },
  OPENAI_API_KEY: { description: 'Adds OpenAI’s models to the quickstart. Has no effect if files are given.' },
  ANTHROPIC_API_KEY: { description: 'Adds Anthropic’s models to the quickstart. Has no effect if files are given.' },
  OTEL_SDK_DISABLED: { description: '`true`: exports neither traces nor metrics by OTLP.' },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    description:
      'The collector to which [traces](../guides/observing.md#traces) and metrics are exported. Headers, timeout, compression, certificates and resource attributes are set by the other `OTEL_*` variables of the [OTLP exporter](https://opentelemetry.io/docs/specs/otel/protocol/exporter/).',
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    description: 'The URL that takes traces, such as `http://HOST:4318/v1/traces`.',
  },
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: { description: 'The URL that takes metrics.' },
  OTEL_EXPORTER_OTLP_PROTOCOL: { description: 'How the collector is spoken to.' },
  OTEL_TRACES_EXPORTER: { description: '`none`: exports no traces.' },
  OTEL_METRICS_EXPORTER: { description: '`none`: exports no metrics by OTLP.' },
  OTEL_METRIC_EXPORT_INTERVAL: { description: 'The time between two exports of metrics by OTLP, in milliseconds.' },
  OTEL_METRIC_EXPORT_TIMEOUT: {
    description: 'The time after which an export of metrics is given up, in milliseconds.',
  },
  OTEL_TRACES_SAMPLER: { description: 'Which traces are recorded; `parentbased_` follows the decision of the client.' },
  OTEL_TRACES_SAMPLER_ARG: { description: 'The share of traces that the ratio samplers record.' },
  OTEL_BSP_MAX_QUEUE_SIZE: { description: 'The most spans that wait for the collector, about 1 KB each.' },
  OTEL_BSP_SCHEDULE_DELAY: { description: 'The longest time that spans wait for others, in milliseconds.' },
  OTEL_SEMCONV_STABILITY_OPT_IN: {
    description:
      '`gen_ai_latest_experimental`: spans and metrics have the names of the development version of the GenAI conventions; `gen_ai.client.token.usage` and `gen_ai.server.*` remain.',
    fallback: 'the names of version 1.41',
  },
  TALLYGATE_TRACES_ALWAYS: {
    description: 'Requests whose traces are exported although the sampler left them out, by how they ended.',
  },
  TALLYGATE_OPENINFERENCE: { description: 'Adds the attributes of OpenInference to spans.' },
  XDG_STATE_HOME: {
    description: 'The parent of the state folder `tallygate/NAME`. A relative path is ignored.',
    fallback: '`~/.local/state`',
  },
  XDG_CONFIG_HOME: {
    description:
      'The parent of the folder `tallygate` with the tokens of `tallygate login`. A relative path is ignored.',
    fallback: '`~/.config`',
  },
  XDG_CACHE_HOME: {
    description:
      'The parent of the cache folder `tallygate` with compiled code and downloads, which speeds up the next start.',
    fallback: '`~/.cache`',
  },
  XDG_RUNTIME_DIR: {
    description: 'The folder of sockets if the path of the state folder is too long for them.',
    fallback: 'the folder for temporary files',
  },
  SSL_CERT_FILE: {
    description:
      'The certificate authorities that verify providers, and for `tallygate login` gateways and identity providers.',
    fallback: 'those of the system, otherwise those of Node',
  },
  SSH_CONNECTION: { description: 'If it is set, `tallygate login` opens no browser.' },
  DISPLAY: {
    description: 'If neither this nor `WAYLAND_DISPLAY` is set, `tallygate login` opens no browser on Linux.',
  },
  WAYLAND_DISPLAY: { description: 'See `DISPLAY`.' },
  HOME: { description: 'The `~` in the defaults above.' },
  PATH: { description: 'The search path for Envoy.' },
};

export function environmentPage(): string {
  const rows = (Object.keys(texts) as (keyof Settings)[]).map((name) => {
    const { description, flag, fallback } = texts[name];
    const variable = variables[name];
    return row(
      `\`${name}\``,
      flag === undefined ? '' : `\`${flag}\``,
      variable.form,
      fallback ?? shown(variable.fallback as Parameters<typeof shown>[0]),
      description,
    );
  });
  return page(
    notice('cli/environment.ts and tools/environment-page.ts'),
    '# Environment',
    'Flags take precedence over variables. An empty variable counts as not set. A value of the wrong form ends the program with exit code 2 and a line that names the variable, never its value.',
    table(['Variable', 'Flag', 'Form', 'Default', 'Meaning'], rows),
    '[Secrets](../guides/running.md#secrets) also read the variables that they name.',
  );
}

function shown(fallback: string | number | Address | readonly string[] | undefined): string {
  if (fallback === undefined || fallback === '') {
    return '';
  }
  if (typeof fallback !== 'object') {
    return `\`${fallback}\``;
  }
  if ('length' in fallback) {
    return `\`${fallback.join(',')}\``;
  }
  return fallback.type === 'tcp' ? `\`${fallback.host}:${fallback.port}\`` : `\`unix:${fallback.path}\``;
}

export function commandLinePage(): string {
  const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
  const help = (...args: readonly string[]) =>
    execFileSync(process.execPath, [main, ...args], { encoding: 'utf8', timeout: 60_000 });
  const overview = help('--help');
  const commands = [...overview.matchAll(/^ {2}([\w-]+) +\S/gm)]
    .map(([, command]) => command!)
    .filter((command) => command !== 'version');
  return page(
    notice('cli/'),
    '# Command line',
    `\`\`\`text\n${overview.trimEnd()}\n\`\`\``,
    ...commands.flatMap((command) => [
      `## tallygate ${command}`,
      `\`\`\`text\n${help(command, '--help').trimEnd()}\n\`\`\``,
    ]),
    '## tallygate version',
    'Prints the versions of Tallygate and of Node. Takes no options.',
    '## Output',
    "Results go to stdout, errors and reports to stderr, both in UTF-8 whatever the locale. Names and messages of clients, providers and clusters may contain anything: control characters, characters that change the direction of text, and others that cannot be seen are written as an escape such as `\\u001b`. In JSON and YAML, such a value is still the same. Tables and CSV show the escape, and in CSV, a name that a spreadsheet could take for a formula starts with `'`. Read names that must be exact from `--json`. `NO_COLOR=1` turns colors off.",
    '## Exit codes',
    table(
      ['Code', 'Meaning'],
      [
        row('0', 'Success.'),
        row('1', 'A problem that you must fix; one line on stderr describes it.'),
        row('2', 'Wrong usage: an unknown command or option, or a variable of the wrong form.'),
        row('3', 'Of `tallygate doctor`: no problem was found, but a check could not be made.'),
      ],
    ),
  );
}
