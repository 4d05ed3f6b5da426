/** docs/reference/environment.md and docs/reference/command-line.md, from the list of variables and what each verb says of itself. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Settings, variables } from '../cli/environment.ts';
import type { Address } from '../runtime/environment.ts';
import { notice, page, row, table } from './markdown.ts';

interface Words {
  readonly says: string;
  /** In place of the value in the code, where that depends on the machine. */
  readonly fallback?: string;
  readonly flag?: string;
}

const words: Readonly<Record<keyof Settings, Words>> = {
  TALLYGATE_LOG_LEVEL: { says: 'From which level on the log on stderr speaks.' },
  TALLYGATE_ACCESS_LOG: { says: 'One JSON line for each request on stdout.' },
  TALLYGATE_METRIC_KEYS: {
    says: 'How metrics show the values of quota keys (teams, users): as they are, or as SHA-256. Hashes of short values can be guessed.',
  },
  TALLYGATE_ERROR_DETAIL: {
    says: 'What refusals tell clients: `full` names the quota, rule or limit that refuses; `plain` has one fixed message for each code. Code, status, `param` and headers are the same, and access lines keep the names.',
  },
  TALLYGATE_ENVOY: {
    says: 'The Envoy to run, 1.38 or newer.',
    flag: '--envoy',
    fallback: '`.tools/bin/envoy` of the checkout, then `envoy` on the PATH',
  },
  TALLYGATE_ADDRESS: {
    says: 'Where the listeners of Gateways bind; `0.0.0.0` opens them to the network.',
    flag: '--address',
  },
  TALLYGATE_METRICS_ADDRESS: { says: 'Where `/metrics`, `/healthz` and `/readyz` are.', flag: '--metrics' },
  TALLYGATE_CONCURRENCY: { says: 'Worker threads of Envoy.', flag: '--concurrency', fallback: 'one a core' },
  TALLYGATE_DRAIN_TIMEOUT: { says: 'Seconds that open streams have after SIGTERM or Ctrl-C.', flag: '--drain-timeout' },
  OPENAI_API_KEY: { says: 'Adds OpenAI’s models to the quickstart. Without effect where files are named.' },
  ANTHROPIC_API_KEY: { says: 'Adds Anthropic’s models to the quickstart. Without effect where files are named.' },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    says: 'Sends the metrics by OTLP too; the other `OTEL_*` variables of the OpenTelemetry SDK hold.',
  },
  XDG_STATE_HOME: {
    says: 'State stands in `tallygate/NAME` below it. A relative path is ignored.',
    fallback: '`~/.local/state`',
  },
  XDG_CACHE_HOME: {
    says: 'Compiled code and downloads are kept in `tallygate` below it, so that the next start is quick.',
    fallback: '`~/.cache`',
  },
  XDG_RUNTIME_DIR: {
    says: 'Where sockets go when the path of the state folder is too long for them.',
    fallback: 'the folder for temporary files',
  },
  SSL_CERT_FILE: {
    says: 'Certificates of the authorities that providers are held against.',
    fallback: 'those of the system, else those of Node',
  },
  HOME: { says: 'For `~` above.' },
  PATH: { says: 'Where Envoy is looked for.' },
};

export function environmentPage(): string {
  const rows = (Object.keys(words) as (keyof Settings)[]).map((name) => {
    const { says, flag, fallback } = words[name];
    const variable = variables[name];
    return row(
      `\`${name}\``,
      flag === undefined ? '' : `\`${flag}\``,
      variable.form,
      fallback ?? shown(variable.fallback),
      says,
    );
  });
  return page(
    notice('cli/environment.ts and tools/environment-page.ts'),
    '# Environment',
    'Flags win over variables; an empty variable counts as not set. A value of the wrong form ends the program with exit code 2 and a line that names the variable, never its value.',
    table(['Variable', 'Flag', 'Form', 'Default', ''], rows),
    'Beside these, [Secrets](../guides/running.md#secrets) take the variables that they name.',
  );
}

function shown(fallback: string | number | Address | undefined): string {
  if (fallback === undefined || fallback === '') {
    return '';
  }
  if (typeof fallback !== 'object') {
    return `\`${fallback}\``;
  }
  return fallback.type === 'tcp' ? `\`${fallback.host}:${fallback.port}\`` : `\`unix:${fallback.path}\``;
}

export function commandLinePage(): string {
  const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
  const help = (...args: readonly string[]) =>
    execFileSync(process.execPath, [main, ...args], { encoding: 'utf8', timeout: 60_000 });
  const overview = help('--help');
  const verbs = [...overview.matchAll(/^ {2}([\w-]+) +\S/gm)]
    .map(([, verb]) => verb!)
    .filter((verb) => verb !== 'version');
  return page(
    notice('cli/'),
    '# Command line',
    `\`\`\`text\n${overview.trimEnd()}\n\`\`\``,
    ...verbs.flatMap((verb) => [`## tallygate ${verb}`, `\`\`\`text\n${help(verb, '--help').trimEnd()}\n\`\`\``]),
    '## tallygate version',
    'Prints the version of Tallygate and of the Node that runs it. It takes no options.',
    '## Exit codes',
    table(
      ['Code', 'Means'],
      [
        row('0', 'All went well.'),
        row('1', 'Something must be put right: one line on stderr says what.'),
        row('2', 'Wrong use: an unknown verb or option, or a variable of the wrong form.'),
      ],
    ),
  );
}
