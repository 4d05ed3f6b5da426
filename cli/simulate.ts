/** `tallygate simulate`: what other quotas would have refused of the recorded requests. */
import type { GatewayPolicy } from '../contract/policy.ts';
import type { RecordedRequest } from '../extproc/quota/usage-records.ts';
import { noGateway } from '../standalone/load.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { readSources } from '../standalone/sources.ts';
import { problemText } from '../translate/problem.ts';
import { readWorld } from '../translate/read/read.ts';
import { translate } from '../translate/translate.ts';
import { checkedLookup, exampleEnvoy } from './check.ts';
import { readRecords } from './cluster-usage.ts';
import { quotaSocket, streamed } from './quota-client.ts';
import { clusterOptions, clusterUsage, reportProblems, withSidecars } from './sidecar-commands.ts';
import { Replay } from './simulation/replay.ts';
import { generalGaps, simulationText } from './simulation/report.ts';
import { printable, printableJsonLines } from './terminal/printable.ts';
import { timeOf } from './usage.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate simulate FILE|FOLDER… [OPTION]…

Replays the requests that a gateway on this machine, or of a cluster, has recorded against the quotas of these files,
and shows what would have been refused, by quota and key. Changes nothing. The files are those of
tallygate run or check, with routes and backends. Lists what the records cannot tell. Single
requests are kept for TALLYGATE_USAGE_REQUEST_DAYS.

  --since TIME         a date or time (2026-11-01, 2026-11-01T12:00:00Z) or a span before now
                       (90m, 24h, 7d); default 7d
  --until TIME         the end, exclusive; default now
  --json               print one JSON object
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
${clusterUsage}`;

const options = {
  since: { type: 'string', default: '7d' },
  until: { type: 'string', default: '0m' },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
  ...clusterOptions,
} as const;

export const simulate: Verb = async ({ args, settings }) => {
  const parsed = readOptions('simulate', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  if (positionals.length === 0) {
    return wrongUse('simulate', 'specify a file or a folder', usage);
  }
  const nowMs = Date.now();
  const since = timeOf(values.since, nowMs);
  const until = timeOf(values.until, nowMs);
  if (since === undefined || until === undefined) {
    const wrong = since === undefined ? `--since ${values.since}` : `--until ${values.until}`;
    return wrongUse('simulate', `${wrong} is no time such as 2026-11-01 or 24h`, usage);
  }
  const policy = policyOf(positionals);
  if (policy === undefined) {
    return 1;
  }
  const replay = new Replay(policy, since);
  const span = { since: replay.beginMs, until };
  const problems = values.cluster
    ? await withSidecars(values, (sidecars) => readRecords(sidecars, span, (request) => replay.add(request)))
    : await readOwnRecords(quotaSocket(settings, values), span, replay);
  const result = replay.result();
  if (result.requests === 0) {
    if (reportProblems(problems) !== 0) {
      throw new OperatorError('requests could not be read from all gateways; correct the problems above');
    }
    throw new OperatorError('no request is recorded in this time; change --since, or see TALLYGATE_USAGE_REQUEST_DAYS');
  }
  process.stdout.write(
    values.json
      ? printableJsonLines([{ ...result, notes: generalGaps.map(({ reason }) => reason) }])
      : simulationText(result),
  );
  return reportProblems(problems);
};

async function readOwnRecords(
  socket: string,
  { since, until }: { readonly since: number; readonly until: number },
  replay: Replay,
): Promise<readonly string[]> {
  const query = new URLSearchParams({ since: String(since), until: String(until) });
  for await (const request of streamed<RecordedRequest>(socket, `/records?${query}`)) {
    replay.add(request);
  }
  return [];
}

/** Returns the policy of the files, or undefined after writing why there is none. */
function policyOf(paths: readonly string[]): GatewayPolicy | undefined {
  const { files, unreadable } = readSources(paths);
  const read = readWorld(files, checkedLookup);
  const plan = translate(read.world, { envoy: exampleEnvoy, routeSecret: 'example' });
  const errors = [...read.problems, ...plan.problems].filter(({ severity }) => severity === 'Error');
  const lines = [...unreadable.map(({ text }) => text), ...errors.map(problemText)];
  if (lines.length === 0 && plan.envoy.listeners.length === 0) {
    lines.push(noGateway(paths));
  }
  for (const line of lines) {
    process.stderr.write(`${printable(line)}\n`);
  }
  return lines.length === 0 ? plan.policy : undefined;
}
