/** `tallygate tail`: access lines for people, as they are written. */
import { createReadStream, fstatSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { LogQuery } from '../controller/sidecars.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { Settings } from './environment.ts';
import { quotaSocket } from './quota-client.ts';
import { clusterOptions, withSidecars } from './sidecar-commands.ts';
import { readEntry } from './tail/access-entry.ts';
import { entryParts, unknownParts } from './tail/entry-text.ts';
import { type EntryFilter, filterOf } from './tail/filter.ts';
import { followFile } from './tail/follow.ts';
import { linesOfGateway } from './tail/gateway-lines.ts';
import { linesOfStream } from './tail/lines.ts';
import { followSidecars } from './tail/sidecar-lines.ts';
import { writeError } from './terminal/errors.ts';
import { printableJson } from './terminal/printable.ts';
import { hasColors, lineOf } from './terminal/text.ts';
import { timeOf } from './usage.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const tailText = `Usage: tallygate tail [FILE] [OPTION]…

Shows access lines as they are written, one short line per request: those of a file, which may be
rotated, of stdin (tallygate run | tallygate tail, or FILE -), or of a gateway that runs on this machine,
also after it has started again. Other lines pass with a question mark before them.

  --tenant NAME        only requests of this tenant: of the caller, or in a header of a quota key
  --user NAME          only requests of this user
  --model NAME         only requests for this model, as the client or as the provider names it
  --route NAME         only requests of this NAMESPACE/ROUTE
  --backend NAME       only requests to this NAMESPACE/BACKEND
  --status STATUS,…    only these statuses and classes, such as 429,5xx
  --errors             only requests with a status from 400, an error or a failure of the backend
  --slow SPAN          only requests that took this long, such as 500ms, 5s or 1m
  -n, --lines N        begin with the last N lines of the file or of each sidecar (10)
  --since TIME         begin with the lines since a date or time (2026-11-01T12:00:00Z) or since a span
                       before now (90m, 24h, 7d), of the file or of all sidecars
  --json               print the access lines that match as they are; other lines go to stderr
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
  --cluster            show the lines of all sidecars of a cluster, also of pods that start later; needs the
                       right to list pods and to get pods/log
  --namespace NAME     namespace of the proxy pods (envoy-gateway-system)
  --kubeconfig FILE    the kubeconfig (KUBECONFIG, then ~/.kube/config)
  --context NAME       the context in the kubeconfig (its current context)
`;

const options = {
  tenant: { type: 'string' },
  user: { type: 'string' },
  model: { type: 'string' },
  route: { type: 'string' },
  backend: { type: 'string' },
  status: { type: 'string' },
  errors: { type: 'boolean', default: false },
  slow: { type: 'string' },
  lines: { type: 'string', short: 'n' },
  since: { type: 'string' },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
  ...clusterOptions,
} as const;

type TailFlags = Exclude<ReturnType<typeof readOptions<typeof options>>, number>['values'];

const POLL_MS = 250;
const POD_POLL_MS = 2_000;
const LINES = 10;
/** Where the output is no terminal. */
const MAX_COLUMNS = 500;

export const tail: Verb = async ({ args, settings }) => {
  const parsed = readOptions('tail', args, options, tailText);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  if (positionals.length > 1 || (values.cluster && positionals.length > 0)) {
    return wrongUse('tail', `unexpected ${positionals.at(-1)}`, tailText);
  }
  const filter = filterOf(values);
  if (typeof filter === 'string') {
    return wrongUse('tail', filter, tailText);
  }
  const start = startOf(values);
  if (typeof start === 'string') {
    return wrongUse('tail', start, tailText);
  }
  process.stdout.on('error', exitWithReader);
  const show = (line: string, pod?: string) => print(line, filter, values.json, pod);
  if (values.cluster) {
    const following = { first: start, pollMs: POD_POLL_MS, show, tell: writeError };
    return await withSidecars(values, (sidecars) => followSidecars({ sidecars, ...following }));
  }
  for await (const line of await linesFrom(positionals[0], start, values, settings)) {
    await show(line);
  }
  return 0;
};

/** Returns which lines come first, or what is wrong with the flags. */
function startOf({ lines, since }: TailFlags): LogQuery | string {
  const sinceMs = since === undefined ? undefined : timeOf(since, Date.now());
  if (since !== undefined && sinceMs === undefined) {
    return `--since ${since} is no time such as 2026-11-01 or 24h`;
  }
  if (lines !== undefined && !/^\d{1,6}$/.test(lines)) {
    return '--lines must be a whole number, at most 999999';
  }
  if (sinceMs === undefined) {
    return { lines: Number(lines ?? LINES) };
  }
  return { sinceMs, ...(lines !== undefined && { lines: Number(lines) }) };
}

/** Returns the lines of the file, of stdin, or of the gateway. */
async function linesFrom(
  file: string | undefined,
  { lines, sinceMs }: LogQuery,
  values: TailFlags,
  settings: Settings,
): Promise<AsyncIterable<string>> {
  const hasGateway = values.socket !== undefined || values.name !== options.name.default;
  const since = (stream: AsyncIterable<string>) => (sinceMs === undefined ? stream : linesSince(stream, sinceMs));
  if (file === '-' || (file === undefined && !hasGateway && isInput(process.stdin.fd))) {
    return since(linesOfStream(process.stdin));
  }
  if (file === undefined) {
    if (values.since !== undefined) {
      throw new OperatorError('a gateway keeps no lines for --since; name a file with access lines');
    }
    return linesOfGateway(quotaSocket(settings, values), POLL_MS, writeError);
  }
  try {
    const there = await stat(file);
    if (there.isDirectory()) {
      throw new OperatorError(`${file} is a directory; name a file with access lines`);
    }
    return since(there.isFile() ? followFile(file, { lines, pollMs: POLL_MS }) : linesOfStream(createReadStream(file)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined
      ? error
      : new OperatorError(`${file} cannot be read (${code}); name a file with access lines`);
  }
}

/** Leaves out what stands before the first access line of the time. */
async function* linesSince(lines: AsyncIterable<string>, sinceMs: number): AsyncGenerator<string> {
  let hasBegun = false;
  for await (const line of lines) {
    hasBegun ||= Date.parse(readEntry(jsonOf(line))?.time ?? '') >= sinceMs;
    if (hasBegun) {
      yield line;
    }
  }
}

/** Whether stdin is a file or the output of a program. */
function isInput(fd: number): boolean {
  const input = fstatSync(fd);
  return input.isFile() || input.isFIFO() || input.isSocket();
}

/** `pod`: the one that wrote the line. */
async function print(line: string, matches: EntryFilter, json: boolean, pod?: string): Promise<void> {
  const value = jsonOf(line);
  const entry = readEntry(value);
  if (line.trim() === '' || (entry !== undefined && !matches(entry))) {
    return;
  }
  const output = json && entry === undefined ? process.stderr : process.stdout;
  const columns = process.stdout.isTTY ? Math.max(process.stdout.columns, 20) : MAX_COLUMNS;
  const parts = entry === undefined ? unknownParts(line, pod) : entryParts(entry, pod);
  const text = json && entry !== undefined ? printableJson(value) : lineOf(parts, columns, hasColors(output));
  if (!output.write(`${text}\n`)) {
    await new Promise((resolve) => {
      output.once('drain', resolve);
    });
  }
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Ends without an error when the program that reads the output has ended. */
function exitWithReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') {
    process.exit(0);
  }
  throw error;
}
