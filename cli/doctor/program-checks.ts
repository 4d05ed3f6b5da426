/** Checks of the program, its Envoy and its environment. */
import { type EnvoyPaths, findEnvoy } from '../../standalone/find-envoy.ts';
import { suggestion } from '../../translate/read/suggestion.ts';
import { variables } from '../environment.ts';
import { isOperatorError } from '../verb.ts';
import { type CheckOutcome, ok, problem, problemOf, warning } from './check-result.ts';

/** The first version that runs TypeScript without a flag. */
const MIN_NODE = [22, 18] as const;
const PREFIX = 'TALLYGATE_';

export function programOutcomes(version: string, node: string): readonly CheckOutcome[] {
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const isOld = major < MIN_NODE[0] || (major === MIN_NODE[0] && minor < MIN_NODE[1]);
  return isOld
    ? [
        problem(
          `tallygate ${version} on Node ${node}, but Node ${MIN_NODE.join('.')} or newer is required`,
          'run `make setup`, which installs one',
          'it-does-not-start',
        ),
      ]
    : [ok(`tallygate ${version}, Node ${node}`)];
}

export async function envoyOutcomes(paths: EnvoyPaths): Promise<readonly CheckOutcome[]> {
  try {
    const { path, version } = await findEnvoy(paths);
    return [ok(`Envoy ${version} (${path})`)];
  } catch (error) {
    if (isOperatorError(error)) {
      return [problemOf(error.message, 'it-does-not-start')];
    }
    throw error;
  }
}

/**
 * Reports names that begin with TALLYGATE_ and that nothing reads, never their values.
 * `referenced`: the names that Secrets in the files refer to.
 */
export function variableOutcomes(names: readonly string[], referenced: ReadonlySet<string>): readonly CheckOutcome[] {
  const known = Object.keys(variables)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => name.slice(PREFIX.length));
  const unknown = names.filter((name) => name.startsWith(PREFIX) && !known.includes(name.slice(PREFIX.length)));
  const outcomes = unknown
    .filter((name) => !referenced.has(name))
    .map((name) => {
      const meant = suggestion(name.slice(PREFIX.length), known);
      return meant === undefined
        ? warning(`nothing reads ${name}`, `unset ${name}, or name the files that use it`, 'a-variable-has-no-effect')
        : problem(`nothing reads ${name}`, `rename it to ${PREFIX}${meant}, or unset it`, 'a-variable-has-no-effect');
    });
  return outcomes.length > 0 ? outcomes : [ok('every variable that begins with TALLYGATE_ is known')];
}
