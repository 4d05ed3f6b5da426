/** Prints the functions of a V8 CPU profile by their own time. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const LINES = 60;
const FILES = 25;

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** Returns the text for each profile in the folder, without idle time. */
export function profileReport(folder: string): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  return files.map((name) => `${name}\n${topOf(JSON.parse(readFileSync(path.join(folder, name), 'utf8')))}`).join('\n');
}

export function topOf(profile: CpuProfile): string {
  const parents = new Map(profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node])));
  const frames = new Map(profile.nodes.map((node) => [node.id, frame(node, parents)]));
  const selfUs = new Map<string, number>();
  let totalUs = 0;
  profile.samples.forEach((id, index) => {
    const name = frames.get(id) ?? '?';
    const us = profile.timeDeltas[index] ?? 0;
    if (name === '(idle)') {
      return;
    }
    totalUs += us;
    selfUs.set(name, (selfUs.get(name) ?? 0) + us);
  });
  const byFile = new Map<string, number>();
  for (const [name, us] of selfUs) {
    const file = / {2}(\S+):\d+$/.exec(name)?.[1] ?? name;
    byFile.set(file, (byFile.get(file) ?? 0) + us);
  }
  const list = (of: ReadonlyMap<string, number>, count: number) =>
    [...of]
      .toSorted(([, one], [, other]) => other - one)
      .slice(0, count)
      .map(([name, us]) => `${((us / totalUs) * 100).toFixed(1).padStart(5)}%  ${name}`)
      .join('\n');
  return `${(totalUs / 1e6).toFixed(2)} s busy\n${list(byFile, FILES)}\n\n${list(selfUs, LINES)}\n`;
}

/**
 * Attributes Node's own functions to the first caller in a file of the project, because their names
 * alone say little.
 */
function frame(node: ProfileNode, parents: ReadonlyMap<number, ProfileNode>): string {
  let caller: ProfileNode | undefined = node;
  while (caller !== undefined && !caller.callFrame.url.startsWith('file:')) {
    caller = parents.get(caller.id);
  }
  const name = node.callFrame.functionName === '' ? '(anonymous)' : node.callFrame.functionName;
  if (caller === undefined) {
    return name;
  }
  const { functionName, url, lineNumber } = caller.callFrame;
  const place = `${path.relative(process.cwd(), fileURLToPath(url))}:${lineNumber + 1}`;
  return caller === node ? `${name}  ${place}` : `${name} of ${functionName}  ${place}`;
}
