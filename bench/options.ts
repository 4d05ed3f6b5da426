/** Parses the command line of `node bench/main.ts`. */
import { parseArgs } from 'node:util';

export const PARTS = [
  'load',
  'reference',
  'paced',
  'open',
  'cut',
  'overshoot',
  'hostile',
  'counts',
  'access',
  'guardrails',
] as const;
export type BenchmarkPart = (typeof PARTS)[number];

export interface Options {
  readonly parts: readonly BenchmarkPart[];
  /** Seconds of one run under load. */
  readonly seconds: number;
  /** Pairs of runs (Envoy alone, Tallygate) of each scenario. */
  readonly rounds: number;
  /** Limits `load` and `hostile` to scenarios whose name contains this text. */
  readonly only: string;
  /** Requests of the long run; 0 for none. */
  readonly soakRequests: number;
  /** Prints a CPU profile of the processor, and writes it beside the results. */
  readonly profile: boolean;
  /** Writes the results to files. */
  readonly write: boolean;
  /** The name of the only file to write; undefined: `latest.md`, and the figures as JSON. */
  readonly page: string | undefined;
}

export const USAGE = `usage: node bench/main.ts [options]
  --parts LIST     parts of ${PARTS.join(',')} (default: all)
                   reference needs the programs mock and gen in REFERENCE_LOAD=DIR
  --seconds N      length of one run under load (4)
  --rounds N       pairs of runs of each scenario (3)
  --only TEXT      run only load scenarios and hostile bodies whose name contains TEXT
  --soak[=N]       instead of the parts, run N requests (1000000) and measure memory
  --profile        print a CPU profile of the processor, and write it to bench/results;
                   slows the processor, so the other figures do not count
  --no-write       do not write to bench/results
  --page NAME      write only bench/results/NAME.md
  --help`;

/**
 * Returns undefined if the usage was requested. Throws an Error with a message on wrong arguments.
 */
export function optionsOf(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: argv.map((argument) => (argument === '--soak' ? '--soak=1000000' : argument)),
    options: {
      parts: { type: 'string' },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      soak: { type: 'string', default: '0' },
      profile: { type: 'boolean', default: false },
      'no-write': { type: 'boolean', default: false },
      page: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    return undefined;
  }
  const soakRequests = positive('soak', values.soak, 0);
  return {
    parts: values.parts === undefined ? (soakRequests > 0 ? [] : PARTS) : partsOf(values.parts),
    seconds: positive('seconds', values.seconds, 0.1),
    rounds: Math.ceil(positive('rounds', values.rounds, 1)),
    only: values.only,
    soakRequests,
    profile: values.profile,
    write: !values['no-write'],
    page: values.page,
  };
}

function partsOf(list: string): readonly BenchmarkPart[] {
  const asked = list.split(',').filter((name) => name !== '');
  const unknown = asked.filter((name) => !PARTS.some((part) => part === name));
  if (unknown.length > 0) {
    throw new Error(`--parts: unknown ${unknown.join(', ')}; use ${PARTS.join(', ')}`);
  }
  return PARTS.filter((part) => asked.includes(part));
}

function positive(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < least) {
    throw new Error(`--${name} must be a number of at least ${least}`);
  }
  return value;
}
