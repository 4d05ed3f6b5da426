/**
 * `tallygate check FILE|FOLDER…`: reports the problems of resources, and prints the configuration
 * that `tallygate run` would write. Uses no network and no secrets.
 */
import { parseArgs } from 'node:util';
import { noGateway } from '../standalone/load.ts';
import { readSources } from '../standalone/sources.ts';
import type { EnvoyOptions, Plan } from '../translate/plan.ts';
import { type Problem, problemText } from '../translate/problem.ts';
import { readWorld } from '../translate/read/read.ts';
import type { Lookup } from '../translate/read/variables.ts';
import { translate } from '../translate/translate.ts';
import { printable, printableJson, printableLines } from './terminal/printable.ts';
import { printableYaml } from './terminal/yaml.ts';

export interface CheckOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

const usage = `Usage: tallygate check FILE|FOLDER… [--output yaml|json|none] [--strict]

Checks resources without a cluster or network, and prints the policy and Envoy configuration that
they produce. Does not resolve variables in Secrets. Warns about valid resources without effect: a
listener without a route, a host name without a listener, a Gateway of another class, files without
a Gateway. An object of a later argument replaces one of an earlier argument.

Exit codes: 0 no error, 1 an error (with --strict also a warning), 2 wrong usage.
`;

/**
 * Replaces the value of a variable, which is not checked. Differs between variables, because API
 * keys must differ. Not empty, valid in a header, and in the form of a certificate.
 */
const placeholderOf = (name: string) => `-----BEGIN-PLACEHOLDER-${name.replaceAll(/[^\w.-]/g, '_')}-----`;
export const checkedLookup: Lookup = { environment: placeholderOf, file: placeholderOf };

/** Example paths; the real ones depend on the machine that runs the gateway. */
export const exampleEnvoy: EnvoyOptions = {
  directory: '/run/tallygate/envoy',
  extproc: { type: 'Unix', path: '/run/tallygate/extproc.sock' },
  admin: { type: 'Unix', path: '/run/tallygate/admin.sock' },
  listenAddress: '0.0.0.0',
  caBundle: '/etc/ssl/certs/ca-certificates.crt',
};

export async function check(args: readonly string[], { stdout, stderr }: CheckOutput): Promise<number> {
  const options = parse(args);
  if (typeof options === 'string') {
    stderr.write(`${printableLines(options)}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    stdout.write(usage);
    return 0;
  }
  const { files, unreadable } = readSources(options.paths);
  const read = readWorld(files, checkedLookup);
  const plan = translate(read.world, { envoy: exampleEnvoy, routeSecret: 'example' });
  const problems = [...read.problems, ...plan.problems];
  for (const { text } of unreadable) {
    stderr.write(`${printable(text)}\n`);
  }
  for (const problem of problems) {
    stderr.write(`${label(problem)}${printable(problemText(problem))}\n`);
  }
  const errors = unreadable.length + problems.filter(({ severity }) => severity === 'Error').length;
  let warnings = problems.filter(({ severity }) => severity === 'Warning').length;
  // Not an error here, because other files may complete these.
  if (errors === 0 && plan.envoy.listeners.length === 0) {
    stderr.write(`warning: ${printable(noGateway(options.paths))}\n`);
    warnings++;
  }
  if (errors === 0) {
    stdout.write(rendered(plan, options.output));
  }
  if (errors + warnings > 0) {
    stderr.write(`${counted(errors, 'error')}, ${counted(warnings, 'warning')}\n`);
  }
  return errors > 0 || (options.strict && warnings > 0) ? 1 : 0;
}

type Format = 'yaml' | 'json' | 'none';

interface CheckOptions {
  readonly paths: readonly string[];
  readonly output: Format;
  readonly strict: boolean;
  readonly help: boolean;
}

function parse(args: readonly string[]): CheckOptions | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        output: { type: 'string', short: 'o', default: 'yaml' },
        strict: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const output = (['yaml', 'json', 'none'] as const).find((each) => each === values.output);
    if (output === undefined) {
      return `tallygate check: --output must be yaml, json or none, not ${values.output}`;
    }
    if (positionals.length === 0 && !values.help) {
      return 'tallygate check: specify a file or a folder';
    }
    return { paths: positionals, output, strict: values.strict, help: values.help };
  } catch (error) {
    return `tallygate check: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Labels warnings and notes. Errors have no label, so that editors recognize them. */
function label({ severity }: Problem): string {
  return severity === 'Error' ? '' : `${severity.toLowerCase()}: `;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Shows only the names of secrets. */
function rendered({ policy, envoy, secrets, statuses }: Plan, format: Format): string {
  const shown = { policy, envoy: { ...envoy, secrets: secrets.map(({ name }) => name) }, statuses };
  switch (format) {
    case 'none':
      return '';
    case 'json':
      return `${printableJson(shown, 2)}\n`;
    case 'yaml':
      return printableYaml(shown, { aliasDuplicateObjects: false, lineWidth: 0 });
  }
}
