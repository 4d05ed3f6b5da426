/** Checks the resources in files, as `tallygate check` does, and the ports of their listeners. */
import type { Environment } from '../../runtime/environment.ts';
import { noGateway } from '../../standalone/load.ts';
import { checkPorts, listenerPorts } from '../../standalone/ports.ts';
import { readSources, secretLookup } from '../../standalone/sources.ts';
import { type Problem, problemText } from '../../translate/problem.ts';
import { readWorld } from '../../translate/read/read.ts';
import { translate } from '../../translate/translate.ts';
import type { World } from '../../translate/world.ts';
import { exampleEnvoy } from '../check.ts';
import { isOperatorError } from '../verb.ts';
import { type CheckOutcome, notChecked, ok, problemOf, warning } from './check-result.ts';
import type { Instance } from './instance.ts';

export interface CheckedFiles {
  readonly outcomes: readonly CheckOutcome[];
  readonly world: World;
  readonly ports: readonly number[];
  /** The variables that Secrets refer to. */
  readonly variables: ReadonlySet<string>;
}

/** Resolves variables in Secrets, unlike `tallygate check`. */
export function checkFiles(paths: readonly string[], environment: Environment): CheckedFiles {
  const variables = new Set<string>();
  const lookup = secretLookup(environment);
  const { files, unreadable } = readSources(paths);
  const { world, problems } = readWorld(files, {
    file: lookup.file,
    environment(name) {
      variables.add(name);
      return lookup.environment(name);
    },
  });
  const plan = translate(world, { envoy: exampleEnvoy, routeSecret: 'example' });
  const outcomes = [
    ...unreadable.map(({ text }) => problemOf(text, 'it-does-not-start')),
    ...[...problems, ...plan.problems].flatMap(outcomeOf),
  ];
  const ports = [...new Set(listenerPorts(plan))];
  if (ports.length === 0 && outcomes.every(({ state }) => state !== 'problem')) {
    outcomes.push(problemOf(noGateway(paths), 'it-does-not-start'));
  }
  return {
    outcomes: outcomes.length > 0 ? outcomes : [ok(`${paths.join(', ')}: no error, no warning`)],
    world,
    ports,
    variables,
  };
}

function outcomeOf(found: Problem): readonly CheckOutcome[] {
  switch (found.severity) {
    case 'Error':
      return [problemOf(problemText(found), 'it-does-not-start')];
    case 'Warning': {
      const { text, fix = '' } = problemOf(problemText(found), 'an-edit-has-no-effect');
      return [warning(text, fix, 'an-edit-has-no-effect')];
    }
    case 'Note':
      return [];
  }
}

/** Whether each port is free, or open in the Envoy of this instance. */
export async function portOutcomes(
  host: string,
  ports: readonly number[],
  { listeners }: Instance,
): Promise<readonly CheckOutcome[]> {
  const own = listeners.type === 'answer' ? listeners.value : [];
  if (ports.length === 0) {
    return own.length > 0
      ? own.map((address) => ok(`the gateway listens at ${address}`))
      : [notChecked('no file with a Gateway is given')];
  }
  return await Promise.all(
    ports.map(async (port) => {
      if (own.some((address) => address.endsWith(`:${port}`))) {
        return ok(`the gateway listens at port ${port}`);
      }
      try {
        await checkPorts(host, [port]);
        return ok(`${host}:${port} is free`);
      } catch (error) {
        if (isOperatorError(error)) {
          return problemOf(error.message, 'it-does-not-start');
        }
        throw error;
      }
    }),
  );
}
