/** `tallygate usage`: sums of what requests used at a running gateway. */

import { mergedUsage } from '../console/api/usage-merge.ts';
import { csvLine } from '../console/page/csv.ts';
import type { RecordedRequest } from '../extproc/quota/usage-records.ts';
import { type UsageGroup, type UsageSums, usageGroups } from '../extproc/quota/usage-report.ts';
import { type UsageSet, usageSets } from '../extproc/quota/usage-share.ts';
import { usageOfSidecars } from './cluster-usage.ts';
import { jsonLines, quotaSocket, request, streamed } from './quota-client.ts';
import { clusterOptions, clusterUsage, reportProblems, unreadError, withSidecars } from './sidecar-commands.ts';
import { table } from './table.ts';
import { printable, printableJsonLines } from './terminal/printable.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usageText = `Usage: tallygate usage [OPTION]…

Shows what the requests of a gateway on this machine, or of a cluster, used: requests, tokens and cost, by whole
hours. A request appears about two seconds after its end.

  --by NAME,…          group by tenant (default), user, key, model, served, route, backend, session,
                       day, hour (in UTC)
  --since TIME         a date or time (2026-11-01, 2026-11-01T12:00:00Z) or a span before now
                       (90m, 24h, 7d); default 24h
  --until TIME         the end, exclusive; default now
  --of SET             local (default): the usage of this gateway; shared: what the shared store has, of
                       all gateways; unshared: that of this gateway which the store does not have
  --records            print the single requests, one JSON object per line, instead of sums
  --json               print one JSON object per line instead of a table
  --csv                print CSV
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
${clusterUsage}`;

const options = {
  by: { type: 'string', default: 'tenant' },
  since: { type: 'string', default: '24h' },
  until: { type: 'string', default: '0m' },
  of: { type: 'string', default: 'local' },
  records: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  csv: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
  ...clusterOptions,
} as const;

export const usage: Verb = async ({ args, settings }) => {
  const parsed = readOptions('usage', args, options, usageText);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const by = values.by.split(',');
  const unknown = by.find((name) => !Object.hasOwn(usageGroups, name));
  if (positionals.length > 0 || unknown !== undefined) {
    const problem = unknown === undefined ? `unexpected ${positionals[0]}` : `--by has no "${unknown}"`;
    return wrongUse('usage', problem, usageText);
  }
  if (!usageSets.includes(values.of as UsageSet)) {
    return wrongUse('usage', `--of has no "${values.of}"`, usageText);
  }
  if (values.cluster && (values.records || values.of !== 'local')) {
    return wrongUse('usage', '--cluster sums the usage of all gateways: leave out --of and --records', usageText);
  }
  const nowMs = Date.now();
  const since = timeOf(values.since, nowMs);
  const until = timeOf(values.until, nowMs);
  if (since === undefined || until === undefined) {
    const wrong = since === undefined ? `--since ${values.since}` : `--until ${values.until}`;
    return wrongUse('usage', `${wrong} is no time such as 2026-11-01 or 24h`, usageText);
  }
  if (values.cluster) {
    return await usageOfCluster(values, by as UsageGroup[], { since, until });
  }
  const query = new URLSearchParams({ of: values.of, since: String(since), until: String(until) });
  if (values.records) {
    for await (const one of streamed<RecordedRequest>(quotaSocket(settings, values), `/records?${query}`)) {
      await print(printableJsonLines([one]));
    }
    return 0;
  }
  for (const name of by) {
    query.append('by', name);
  }
  const rows = jsonLines<UsageSums>(await request(quotaSocket(settings, values), 'GET', `/usage?${query}`));
  process.stdout.write(shown(rows, by as UsageGroup[], values));
  return 0;
};

type UsageFlags = Exclude<ReturnType<typeof readOptions<typeof options>>, number>['values'];

/** Shows the sums of the shared store and of all sidecars that answer, and names the others. */
async function usageOfCluster(
  values: UsageFlags,
  by: readonly UsageGroup[],
  { since, until }: { readonly since: number; readonly until: number },
): Promise<number> {
  const time = (ms: number) => new Date(ms).toISOString();
  const args = ['usage', '--by', by.join(), '--since', time(since), '--until', time(until), '--json'];
  const read = await withSidecars(values, (sidecars) => usageOfSidecars(sidecars, args));
  const rows = mergedUsage(read.outputs.map(({ stdout }) => jsonLines<UsageSums>(stdout)));
  if (rows.length === 0 && read.problems.length > 0) {
    throw unreadError('usage', read);
  }
  process.stdout.write(shown(rows, by, values));
  return reportProblems(read.problems);
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) {
    await new Promise((resolve) => {
      process.stdout.once('drain', resolve);
    });
  }
}

const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Returns a time, or the start of a span before now; undefined: the text is neither. */
export function timeOf(text: string, nowMs: number): number | undefined {
  const span = /^(\d{1,6})([mhd])$/.exec(text);
  const ms = span === null ? Date.parse(text) : nowMs - Number(span[1]) * UNITS_MS[span[2] as keyof typeof UNITS_MS];
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function shown(
  rows: readonly UsageSums[],
  by: readonly UsageGroup[],
  form: { readonly json: boolean; readonly csv: boolean },
): string {
  if (form.json) {
    return printableJsonLines(rows);
  }
  const head = [...by, 'requests', 'input', 'cached', 'output', 'reasoning', 'cost'];
  const cells = rows.map((row) =>
    [
      ...by.map((name) => row.group[name] || (form.csv ? '' : '-')),
      row.requests,
      row.inputTokens,
      row.cachedInputTokens,
      row.outputTokens,
      row.reasoningOutputTokens,
      Object.entries(row.cost)
        .map(([currency, amount]) => `${amount} ${currency}`)
        .join(' + ') || (form.csv ? '' : '-'),
    ].map(String),
  );
  if (form.csv) {
    return [head, ...cells].map((line) => csvLine(line.map(printable))).join('');
  }
  return rows.length === 0
    ? 'No usage is recorded in this time.\n'
    : table(
        head.map((name) => name.toUpperCase()),
        cells,
      );
}
