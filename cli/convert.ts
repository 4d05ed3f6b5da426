/** `tallygate convert`: reads the configuration of another gateway and writes resources. */
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSources } from '../standalone/sources.ts';
import { problemText } from '../translate/problem.ts';
import { type ConvertedFiles, convert as convertFiles, type SourceName, sourceNames } from './convert/convert.ts';
import { draftsToYaml } from './convert/draft.ts';
import { reportText } from './convert/report.ts';
import { printable, printableJson } from './terminal/printable.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate convert FILE|FOLDER… [OPTION]…

Reads the configuration of another gateway, and prints resources of Tallygate that do the same.
Reports on stderr what became of each field: converted, with another meaning, or without an equal.
Copies no secret: Secrets name environment variables. Checks its output as tallygate check does.
Uses no network.

  --from SOURCE     litellm: config.yaml of LiteLLM's proxy, and exports of its keys and teams;
                    envoy-ai-gateway: resources of Envoy AI Gateway, with those of Envoy Gateway
                    and Gateway API that belong to them. By default, the files decide.
  -o, --output PATH write into this file; into a folder, resources.yaml and secrets.yaml
  --json            report as JSON
  --strict          exit with 1 if a field has no equal or another meaning

Exit codes: 0 converted, 1 an error, 2 wrong usage.
`;

const options = {
  from: { type: 'string' },
  output: { type: 'string', short: 'o' },
  json: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
} as const;

export interface ConvertOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const convert: Verb = async ({ args }) => {
  const parsed = readOptions('convert', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { from, output, json = false, strict = false } = parsed.values;
  const source = sourceNames.find((name) => name === from);
  if (from !== undefined && source === undefined) {
    return wrongUse('convert', `--from must be ${sourceNames.join(' or ')}, not ${from}`, usage);
  }
  if (parsed.positionals.length === 0) {
    return wrongUse('convert', 'name a file or a folder', usage);
  }
  return convertPaths(parsed.positionals, { source, output, json, strict }, process);
};

export interface ConvertOptions {
  readonly source?: SourceName | undefined;
  readonly output?: string | undefined;
  readonly json?: boolean;
  readonly strict?: boolean;
}

/** Returns the exit code. */
export function convertPaths(
  paths: readonly string[],
  { source, output, json, strict }: ConvertOptions,
  { stdout, stderr, env }: ConvertOutput,
): number {
  const { files, unreadable } = readSources(paths);
  for (const { text } of unreadable) {
    stderr.write(`${printable(text)}\n`);
  }
  if (unreadable.length > 0) {
    return 1;
  }
  const conversion = convertFiles(files, source, (name) => env[name]);
  for (const problem of conversion.problems) {
    stderr.write(`${printable(problemText(problem))}\n`);
  }
  if (conversion.drafts.length === 0) {
    return 1;
  }
  const written = write(conversion, output, stdout);
  if (written !== undefined) {
    stderr.write(`${printable(written)}\n`);
    return 1;
  }
  const { entries } = conversion;
  stderr.write(json ? `${printableJson({ fields: entries }, 2)}\n` : reportText(entries));
  const isExact = entries.every(({ verdict }) => verdict === 'Converted' || verdict === 'NotNeeded');
  return conversion.problems.length > 0 || (strict === true && !isExact) ? 1 : 0;
}

/** Returns why nothing could be written. Replaces no file. */
function write(
  { drafts }: ConvertedFiles,
  output: string | undefined,
  stdout: ConvertOutput['stdout'],
): string | undefined {
  if (output === undefined) {
    stdout.write(draftsToYaml(drafts));
    return undefined;
  }
  const isFile = /\.(ya?ml)$/.test(output) && !(existsSync(output) && statSync(output).isDirectory());
  const isSecret = ({ object }: (typeof drafts)[number]) => object.kind === 'Secret';
  const files = isFile
    ? [{ path: output, drafts }]
    : [
        { path: join(output, 'resources.yaml'), drafts: drafts.filter((each) => !isSecret(each)) },
        { path: join(output, 'secrets.yaml'), drafts: drafts.filter(isSecret) },
      ].filter((file) => file.drafts.length > 0);
  const existing = files.find(({ path }) => existsSync(path));
  if (existing !== undefined) {
    return `${existing.path}: exists already; fix: remove it, or choose another --output`;
  }
  try {
    if (!isFile) {
      mkdirSync(output, { recursive: true });
    }
    for (const file of files) {
      writeFileSync(file.path, draftsToYaml(file.drafts), { flag: 'wx' });
    }
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return `${output}: cannot be written (${code}); fix: correct the path or its permissions`;
  }
}
