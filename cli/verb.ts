/** The interface of a command, and the parser of its options. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { OperatorError } from '../standalone/operator-error.ts';
import type { Settings } from './environment.ts';
import { printableLines } from './terminal/printable.ts';

export interface VerbInput {
  readonly args: readonly string[];
  readonly settings: Settings;
}

/** Returns the exit code. */
export type Verb = (input: VerbInput) => Promise<number>;

export function isOperatorError(error: unknown): error is OperatorError {
  return error instanceof OperatorError;
}

type Parsed<O extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: O & typeof helpOption; allowPositionals: true; args: string[] }>
>;

const helpOption = { help: { type: 'boolean', short: 'h' } } as const;

/** Returns the options, or an exit code after writing the help or an error. */
export function readOptions<const O extends ParseArgsOptionsConfig>(
  verb: string,
  args: readonly string[],
  options: O,
  usage: string,
): Parsed<O> | number {
  try {
    const parsed = parseArgs({ args: [...args], options: { ...options, ...helpOption }, allowPositionals: true });
    if ((parsed.values as { readonly help?: boolean }).help) {
      process.stdout.write(usage);
      return 0;
    }
    return parsed as unknown as Parsed<O>;
  } catch (error) {
    return wrongUse(verb, error instanceof Error ? error.message : String(error), usage);
  }
}

export function wrongUse(verb: string, message: string, usage: string): number {
  process.stderr.write(`tallygate ${verb}: ${printableLines(message)}\n\n${usage}`);
  return 2;
}
