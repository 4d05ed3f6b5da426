/** Where the processor's time went: the functions of a V8 CPU profile by the time that they themselves took. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const LINES = 45;

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Text for each profile in the folder, without time in which nothing ran. */
export function profileReport(folder: string): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  return files.map((name) => `${name}\n${topOf(JSON.parse(readFileSync(path.join(folder, name), 'utf8')))}`).join('\n');
}

export function topOf(profile: CpuProfile): string {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, frame(callFrame)]));
  const selfUs = new Map<string, number>();
  let totalUs = 0;
  profile.samples.forEach((id, index) => {
    const name = frames.get(id) ?? '?';
    const us = profile.timeDeltas[index] ?? 0;
    if (name === '(idle)') return;
    totalUs += us;
    selfUs.set(name, (selfUs.get(name) ?? 0) + us);
  });
  const top = [...selfUs].toSorted(([, one], [, other]) => other - one).slice(0, LINES);
  const lines = top.map(([name, us]) => `${((us / totalUs) * 100).toFixed(1).padStart(5)}%  ${name}`);
  return `${(totalUs / 1e6).toFixed(2)} s busy\n${lines.join('\n')}\n`;
}

function frame({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url.startsWith('file:') ? path.relative(process.cwd(), fileURLToPath(url)) : url;
  return `${name}  ${file}:${lineNumber + 1}`;
}
