import { readFileSync } from 'node:fs';
import type { Verb } from './verb.ts';

/** `tallygate version`. */
export const version: Verb = async () => {
  process.stdout.write(`tallygate ${versionText()} (Node ${process.versions.node})\n`);
  return 0;
};

export function versionText(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
