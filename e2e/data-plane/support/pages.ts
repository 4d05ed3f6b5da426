/** Reads the shell examples of the pages: the commands, and the output that the page shows. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

export const repository = path.resolve(import.meta.dirname, '../../..');

export interface PageBlock {
  /** The text after the fence. */
  readonly info: string;
  readonly text: string;
}

export function blocksOf(page: string): readonly PageBlock[] {
  const text = readFileSync(path.join(repository, page), 'utf8');
  return [...text.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)].map(([, info = '', content = '']) => ({
    info,
    text: content,
  }));
}

/** Returns each `sh run` block with the `text output` block after it. */
export function shellExamples(page: string): readonly { readonly script: string; readonly shown: string }[] {
  const blocks = blocksOf(page);
  return blocks.flatMap(({ info, text }, index) => {
    const next = blocks[index + 1];
    return info === 'sh run' && next?.info === 'text output' ? [{ script: text, shown: next.text }] : [];
  });
}

/** Runs a script with the addresses of the pages replaced. */
export async function runScript(script: string, addresses: Readonly<Record<string, string>>): Promise<string> {
  const here = Object.entries(addresses).reduce((text, [from, to]) => text.replaceAll(from, to), script);
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', here], { timeout: 60_000 });
  return stdout;
}

/** Parts of the output that differ between runs. */
const volatile = [
  [/^(x-ratelimit-(?:remaining|reset)-\w+|retry-after): .*$/, '$1: #'],
  [/Retry in \d+ s/, 'Retry in # s'],
  [/retry after \d+ s/, 'retry after # s'],
  [/"id":"chatcmpl-[^"]*"/, '"id":"#"'],
  [/"policy":"[0-9a-f]+"/, '"policy":"#"'],
] as const;

function stable(line: string): string {
  return volatile.reduce((text, [pattern, to]) => text.replace(pattern, to), line.trimEnd());
}

/**
 * Returns the first line of `shown` that is not in the output in order, or undefined. `…` matches
 * any text.
 */
export function missingLine(shown: string, output: string): string | undefined {
  const lines = output.split('\n').map(stable);
  let from = 0;
  for (const line of shown.trim().split('\n').map(stable)) {
    const pattern = new RegExp(`^${line.split('…').map(escaped).join('.*')}$`);
    const at = lines.findIndex((each, index) => index >= from && pattern.test(each));
    if (at === -1) {
      return line;
    }
    from = at + 1;
  }
  return undefined;
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
