/**
 * Selects the encoding for a model from its name and the backend's tokenizer setting, and loads
 * encodings once. The rank files are gpt-tokenizer's. The algorithm is our own, because counting
 * must be linear in whatever a client may send.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Tokenizer } from '../../contract/policy.ts';
import { type Ranks, readRanks } from './ranks.ts';
import { Cl100kSplitter, O200kSplitter, type TextSplitter } from './split.ts';

export interface Encoding {
  readonly ranks: Ranks;
  readonly splitter: TextSplitter;
}

export type EncodingName = Exclude<Tokenizer['encoding'], 'Auto'>;

/** The encoding and factor for one model of a backend. */
export interface ModelEncoding {
  readonly encoding: Encoding;
  readonly factorPercent: number;
}

type RankFile = 'o200k_base' | 'cl100k_base';

const loaded = new Map<RankFile, Encoding>();

/** Loads encodings (all, if none is named) with pauses, so that the data path is not blocked. */
export async function loadEncodings(
  names: readonly EncodingName[] = ['o200k_base', 'o200k_harmony', 'cl100k_base'],
): Promise<void> {
  for (const file of new Set(names.map(rankFile))) {
    if (loaded.has(file)) {
      continue;
    }
    const reading = readRanks(await readFile(rankPath(file)));
    let step = reading.next();
    while (!step.done) {
      await nextTurn();
      step = reading.next();
    }
    loaded.set(file, encodingOf(file, step.value));
  }
}

/** Returns an encoding. Loads one that is not loaded yet, which takes about 100 ms. */
export function modelEncoding(tokenizer: Tokenizer, model: string): ModelEncoding {
  const file = rankFile(tokenizer.encoding === 'Auto' ? encodingName(model) : tokenizer.encoding);
  let encoding = loaded.get(file);
  if (encoding === undefined) {
    const reading = readRanks(readFileSync(rankPath(file)));
    let step = reading.next();
    while (!step.done) {
      step = reading.next();
    }
    encoding = encodingOf(file, step.value);
    loaded.set(file, encoding);
  }
  return { encoding, factorPercent: tokenizer.factorPercent ?? 100 };
}

/** Returns the encoding of a model by its name. Unknown models of any provider use the newest. */
export function encodingName(model: string): EncodingName {
  // `openai/gpt-4`, `ft:gpt-3.5-turbo:…` and Azure's `gpt-35-turbo` are the same models.
  const name = model.slice(model.lastIndexOf('/') + 1).replace(/^ft:/, '');
  if (name.startsWith('gpt-oss')) {
    return 'o200k_harmony';
  }
  return /^(gpt-4(?![\w.])|gpt-3\.?5|text-embedding-)/.test(name) ? 'cl100k_base' : 'o200k_base';
}

/**
 * o200k_harmony differs in its special tokens only, and text has none: special tokens in text count
 * as plain text.
 */
function rankFile(name: EncodingName): RankFile {
  return name === 'cl100k_base' ? 'cl100k_base' : 'o200k_base';
}

function rankPath(file: RankFile): string {
  return fileURLToPath(import.meta.resolve(`gpt-tokenizer/data/${file}.tiktoken`));
}

function encodingOf(file: RankFile, ranks: Ranks): Encoding {
  return { ranks, splitter: file === 'cl100k_base' ? new Cl100kSplitter() : new O200kSplitter() };
}
