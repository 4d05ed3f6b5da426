/**
 * All that must not leave gateways, and all that leaves them, of one test process. When the process
 * ends, a protected value in an output fails the test file.
 *
 * `requests.ts` notes what tests and gateways send, `gateway-outputs.ts` what gateways write and
 * serve; mocks of other services add what they receive.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { LeakIndex, type ProtectedKind } from '../../../../fixtures/leaks/leak-index.ts';
import type { ProtectedText } from '../../../../fixtures/leaks/protected-values.ts';

/** What an output keeps before it is searched. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024;

const index = new LeakIndex();
const outputs: Output[] = [];
const leaks = new Set<string>();

export function protect(texts: Iterable<ProtectedText>): void {
  for (const { text, value } of texts) {
    index.add(text, value);
  }
}

/** The bytes that leave gateways at one place. */
export class Output {
  readonly #place: string;
  readonly #mayHold: ReadonlySet<ProtectedKind>;
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** `mayHold`: what belongs at this place. */
  constructor(place: string, mayHold: readonly ProtectedKind[] = []) {
    this.#place = place;
    this.#mayHold = new Set(mayHold);
    outputs.push(this);
  }

  add(chunk: Buffer | string): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_KEPT_BYTES) {
      this.search();
    }
  }

  search(): void {
    const output = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#bytes = 0;
    for (const { value, before } of index.find(output, ({ kind }) => !this.#mayHold.has(kind))) {
      leaks.add(`leak: ${this.#place} has a ${value.kind} (${value.name}) after ${JSON.stringify(before)}`);
    }
  }
}

interface WrittenFile {
  readonly path: string;
  readonly mode: number;
}

/** Adds the files in a folder and its subfolders, except those that vanish meanwhile. */
export function addFiles(folder: string, when: string, isWanted: (file: WrittenFile) => boolean = () => true): void {
  for (const { parentPath, name } of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = path.join(parentPath, name);
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat?.isFile() && isWanted({ path: file, mode: stat.mode })) {
      new Output(`the file ${path.relative(folder, file)} ${when}`).add(readFileSync(file));
    }
  }
}

process.on('exit', () => {
  for (const output of outputs) {
    output.search();
  }
  if (leaks.size > 0) {
    process.exitCode = 1;
    process.stderr.write(`${[...leaks].join('\n')}\n`);
  }
});
