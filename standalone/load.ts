/** From files to a plan, with every reason why there is none. */
import type { Environment } from '../runtime/environment.ts';
import type { EnvoyOptions, Plan } from '../translate/plan.ts';
import { problemText } from '../translate/problem.ts';
import { readWorld } from '../translate/read/read.ts';
import { translate } from '../translate/translate.ts';
import { type Echo, startEcho, usesEcho, withEcho } from './echo.ts';
import { readSources, secretLookup } from './sources.ts';

export interface Loaded {
  /** Absent where anything is wrong: a plan is taken whole or not at all. */
  readonly plan: Plan | undefined;
  /** `FILE:LINE: …`, as `tallygate check` says it. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** What to watch for changes, absolute. */
  readonly paths: readonly string[];
}

export interface Loader {
  load(): Promise<Loaded>;
  close(): Promise<void>;
}

export interface LoaderOptions {
  readonly paths: readonly string[];
  readonly environment: Environment;
  readonly envoy: EnvoyOptions;
}

export function newLoader({ paths, environment, envoy }: LoaderOptions): Loader {
  let echo: Echo | undefined;
  return {
    async load() {
      const sources = readSources(paths);
      const lookup = secretLookup(environment);
      const { world, problems } = readWorld(sources.files, lookup);
      if (usesEcho(world)) echo ??= await startEcho();
      const plan = translate(echo ? withEcho(world, echo) : world, { envoy });
      const all = [...problems, ...plan.problems];
      const ofSeverity = (severity: string) => all.filter((each) => each.severity === severity).map(problemText);
      const errors = [...sources.unreadable, ...ofSeverity('Error')];
      if (errors.length === 0 && plan.envoy.listeners.length === 0) {
        errors.push(
          `${paths.join(', ')}: there is no Gateway with a listener; fix: add a Gateway of gateway.networking.k8s.io/v1`,
        );
      }
      return {
        plan: errors.length === 0 ? plan : undefined,
        errors,
        warnings: ofSeverity('Warning'),
        paths: [...sources.paths, ...lookup.paths],
      };
    },
    async close() {
      await echo?.close();
    },
  };
}
