/**
 * The program `tallygate`: runs a command. Exit code 1: an error that the operator can fix, in one
 * line without a stack; 2: wrong usage.
 */
import './compile-cache.cjs';
import { readSettings } from './environment.ts';
import { writeErrorLines } from './terminal/errors.ts';
import { isOperatorError, type Verb } from './verb.ts';

/** Loaded on demand: each process loads only what it needs. */
const verbs: Readonly<Record<string, { readonly short: string; readonly load: () => Promise<Verb> }>> = {
  run: { short: 'run the gateway on this machine', load: async () => (await import('./run.ts')).run },
  check: {
    short: 'check resources and show their configuration',
    load: async () => {
      const { check } = await import('./check.ts');
      return ({ args }) => check(args, process);
    },
  },
  doctor: {
    short: 'check an installation and say how to fix it',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  quota: { short: 'list and reset budgets', load: async () => (await import('./quota.ts')).quota },
  usage: { short: 'show what requests used', load: async () => (await import('./usage.ts')).usage },
  explain: { short: 'show what is known of a request', load: async () => (await import('./explain.ts')).explain },
  top: { short: 'show a gateway while it works', load: async () => (await import('./top.ts')).top },
  tail: { short: 'show access lines as they are written', load: async () => (await import('./tail.ts')).tail },
  simulate: {
    short: 'replay recorded requests against changed quotas',
    load: async () => (await import('./simulate.ts')).simulate,
  },
  convert: {
    short: 'convert the configuration of another gateway',
    load: async () => (await import('./convert.ts')).convert,
  },
  prices: { short: 'import published prices', load: async () => (await import('./prices.ts')).prices },
  key: { short: 'create, list, find and revoke API keys', load: async () => (await import('./key.ts')).key },
  login: { short: 'sign in to a gateway', load: async () => (await import('./login.ts')).login },
  token: { short: 'print a token for a gateway', load: async () => (await import('./token.ts')).token },
  logout: { short: 'forget the tokens for a gateway', load: async () => (await import('./logout.ts')).logout },
  extproc: { short: 'run the ext_proc service alone', load: async () => (await import('./extproc.ts')).extproc },
  controller: {
    short: 'run the control plane in a cluster',
    load: async () => (await import('./controller.ts')).controller,
  },
  'sidecar-patch': {
    short: 'print the patch for your own EnvoyProxy',
    load: async () => (await import('./sidecar-patch.ts')).sidecarPatch,
  },
  version: { short: 'print the version', load: async () => (await import('./version.ts')).version },
};

const usage = `Tallygate counts every token of AI traffic, and the spending stops where the budget ends.

Usage: tallygate COMMAND [OPTION]…

${Object.entries(verbs)
  .map(([name, { short }]) => `  ${name.padEnd(15)}${short}`)
  .join('\n')}

Run tallygate COMMAND --help for details. Without a file, tallygate run starts an example
that needs no key.
`;

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    (name === undefined ? process.stderr : process.stdout).write(usage);
    return name === undefined ? 2 : 0;
  }
  const verb = Object.hasOwn(verbs, name)
    ? verbs[name]
    : name === '--version' || name === '-v'
      ? verbs['version']
      : undefined;
  if (verb === undefined) {
    writeErrorLines(`unknown command "${name}"\n\n${usage}`);
    return 2;
  }
  const { values: settings, problems } = readSettings(process.env);
  if (problems.length > 0) {
    for (const problem of problems) {
      writeErrorLines(problem);
    }
    return 2;
  }
  return (await verb.load())({ args, settings });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (isOperatorError(error)) {
    writeErrorLines(error.message);
  } else {
    writeErrorLines(`internal error: ${error instanceof Error ? error.stack : error}`);
  }
  process.exitCode = 1;
}
// The channel to the launcher would keep a failed process running.
if (process.connected) {
  process.disconnect();
}
