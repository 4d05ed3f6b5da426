/** What `node bench/main.ts` is told on its command line. */
import { parseArgs } from 'node:util';

export const PARTS = ['load', 'reference', 'paced', 'open', 'cut', 'overshoot', 'hostile', 'counts'] as const;
export type Part = (typeof PARTS)[number];

export interface Options {
  readonly parts: readonly Part[];
  /** Of one run under load. */
  readonly seconds: number;
  /** Pairs of runs (Envoy alone, Tallygate) of each scenario. */
  readonly rounds: number;
  /** Only scenarios of `load` and bodies of `hostile` whose name contains this. */
  readonly only: string;
  /** Requests of the long run; 0: none. */
  readonly soakRequests: number;
  /** Print where the processor's time goes. */
  readonly profile: boolean;
  /** Write results to files. */
  readonly write: boolean;
}

export const USAGE = `usage: node bench/main.ts [options]
  --parts LIST     of ${PARTS.join(',')} (all)
                   reference needs the programs mock and gen, which REFERENCE_LOAD=DIR names
  --seconds N      length of one run under load (4)
  --rounds N       pairs of runs of each scenario (3)
  --only TEXT      only load scenarios and hostile bodies whose name contains TEXT
  --soak[=N]       a long run of N requests (1000000) and its memory, in place of the parts
  --profile        print where the processor's time goes
  --no-write       leave bench/results as it is
  --help`;

/** Undefined: the usage is asked for. Throws with a message for what cannot be understood. */
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
  };
}

function partsOf(list: string): readonly Part[] {
  const asked = list.split(',').filter((name) => name !== '');
  const unknown = asked.filter((name) => !PARTS.some((part) => part === name));
  if (unknown.length > 0) {
    throw new Error(`--parts: there is no ${unknown.join(', ')}; known are ${PARTS.join(', ')}`);
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
