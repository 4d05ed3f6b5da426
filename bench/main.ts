/**
 * Measures Envoy alone and Envoy with Tallygate side by side, in the same minutes, and figures that
 * no ratio shows: memory, cuts, overshoot, counts. Starts programs and uses HTTP, as users do;
 * depends on no internals.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ratioChart } from './chart.ts';
import { warmUp } from './measure.ts';
import { type BenchmarkPart, type Options, optionsOf, USAGE } from './options.ts';
import { access } from './parts/access.ts';
import { counts } from './parts/counts.ts';
import { cuts } from './parts/cut.ts';
import { guardrails } from './parts/guardrails.ts';
import { hostile } from './parts/hostile.ts';
import { loadComparisons } from './parts/load.ts';
import { openStreams } from './parts/open-streams.ts';
import { overshoot } from './parts/overshoot.ts';
import { pacedComparisons } from './parts/paced.ts';
import { referenceComparisons } from './parts/reference.ts';
import { soak } from './parts/soak.ts';
import { until } from './processes.ts';
import { profileReport } from './profile.ts';
import { markdown } from './report.ts';
import type { Comparison, CountRow, Figure, Results } from './results.ts';
import { type Testbed, withTestbed } from './testbed.ts';

const PROFILE_MS = 30_000;

async function main(): Promise<void> {
  const options = optionsOf(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  const profileFolder = options.profile ? mkdtempSync(path.join(os.tmpdir(), 'tallygate-profile-')) : undefined;
  const results = await withTestbed({ profileFolder }, (testbed) => measure(testbed, options, profileFolder));
  const page = markdown(results);
  console.log(page);
  if (options.write) {
    write(results, page);
  }
  if (profileFolder !== undefined) {
    const profile = profileReport(profileFolder);
    console.log(profile);
    if (options.write) {
      writeFileSync(path.join(import.meta.dirname, 'results', `${options.page ?? 'latest'}.profile.txt`), profile);
    }
    rmSync(profileFolder, { recursive: true });
  }
}

async function measure(testbed: Testbed, options: Options, profileFolder: string | undefined): Promise<Results> {
  const startedAt = new Date().toISOString();
  const comparisons: Comparison[] = [];
  const figures: Figure[] = [];
  const rows: CountRow[] = [];
  const parts: Readonly<Record<BenchmarkPart, () => Promise<unknown>>> = {
    load: async () => comparisons.push(...(await loadComparisons(testbed, options))),
    reference: async () => comparisons.push(...(await referenceComparisons(options))),
    paced: async () => comparisons.push(...(await pacedComparisons(testbed, options))),
    open: async () => figures.push(...(await openStreams(testbed))),
    cut: async () => figures.push(...(await cuts(testbed))),
    overshoot: async () => figures.push(...(await overshoot(testbed))),
    hostile: async () => figures.push(...(await hostile(testbed, options))),
    access: async () => figures.push(...(await access(testbed, options))),
    guardrails: async () => figures.push(...(await guardrails(testbed, options))),
    counts: async () => rows.push(...(await counts(testbed))),
  };
  if (options.parts.includes('load') || options.parts.includes('paced')) {
    await warmUp(testbed);
  }
  if (profileFolder !== undefined) {
    process.kill(testbed.gateway.extprocPid, 'SIGUSR2');
  }
  for (const part of options.parts) {
    console.error(`measuring: ${part}`);
    await parts[part]();
  }
  if (profileFolder !== undefined) {
    process.kill(testbed.gateway.extprocPid, 'SIGUSR2');
    await until('profile', PROFILE_MS, () => readdirSync(profileFolder).length > 0);
  }
  if (options.soakRequests > 0) {
    figures.push(...(await soak(testbed, options.soakRequests)));
  }
  return { startedAt, machine: testbed.machine, options, comparisons, figures, counts: rows };
}

function write(results: Results, page: string): void {
  const folder = path.join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  if (results.comparisons.some(({ kind }) => kind === 'load')) {
    writeFileSync(path.join(folder, 'ratios.svg'), ratioChart(results.comparisons));
  }
  // A soak run alone writes a separate page.
  const only = results.options.parts.length === 0 ? 'soak' : results.options.page;
  if (only !== undefined) {
    writeFileSync(path.join(folder, `${only}.md`), page);
    return;
  }
  const name = results.startedAt.slice(0, 16).replace(':', '');
  writeFileSync(path.join(folder, `${name}.json`), `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(path.join(folder, 'latest.md'), page);
}

await main();
