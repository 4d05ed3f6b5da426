/** Reads files into a plan, or into the errors that prevent one. */
import { createHash } from 'node:crypto';
import type { Environment } from '../runtime/environment.ts';
import type { Log } from '../runtime/log.ts';
import type { EnvoyOptions, Plan } from '../translate/plan.ts';
import { type Problem, problemText } from '../translate/problem.ts';
import { readWorld, type SourceFile } from '../translate/read/read.ts';
import { translate } from '../translate/translate.ts';
import type { World } from '../translate/world.ts';
import { type Echo, startEcho, usesEcho, withEcho } from './echo.ts';
import { readSources, secretLookup } from './sources.ts';

export interface Loaded {
  /** Absent if no part of the files can be applied. */
  readonly plan: Plan | undefined;
  /** The errors in the current files, in the form of `tallygate check`: `FILE:LINE: …`. */
  readonly errors: readonly string[];
  /** Files with errors; the plan uses their last valid text. */
  readonly held: readonly string[];
  readonly warnings: readonly string[];
  /** Objects that a later argument replaces, with both places. */
  readonly replaced: readonly string[];
  /** The absolute paths to watch for changes. */
  readonly paths: readonly string[];
  /** The digest of the text of all files. */
  readonly digest: string;
}

export interface Loader {
  load(): Promise<Loaded>;
  close(): Promise<void>;
}

export interface LoaderOptions {
  readonly paths: readonly string[];
  readonly environment: Environment;
  readonly envoy: EnvoyOptions;
  readonly routeSecret: string;
  readonly issuerKeys: LoaderKeys;
  readonly tokens: LoaderTokens;
}

/** The public keys of issuers; see `World.jwks`. */
export interface LoaderKeys {
  results(): World['jwks'];
  /** Called with the sources of each plan that is applied. */
  want(sources: Plan['jwksSources']): void;
}

/** The tokens of clouds; see `World.tokens`. */
export interface LoaderTokens {
  results(): World['tokens'];
  /** Called with the tokens of each plan that is applied. */
  want(tokens: Plan['wantedTokens']): void;
}

/** Logs what an operator should know of resources that are in force. */
export function logResources(log: Log, { warnings, replaced }: Pick<Loaded, 'warnings' | 'replaced'>): void {
  for (const warning of warnings) {
    log.warn({ problem: warning }, 'invalid resources');
  }
  for (const object of replaced) {
    log.info({ object }, 'resource replaced');
  }
}

export function noGateway(paths: readonly string[]): string {
  return `${paths.join(', ')}: there is no Gateway with a listener; fix: add a Gateway (gateway.networking.k8s.io/v1)`;
}

export function newLoader({ paths, environment, envoy, routeSecret, issuerKeys, tokens }: LoaderOptions): Loader {
  let echo: Echo | undefined;
  /** The files of the last plan, by name. */
  let good: ReadonlyMap<string, SourceFile> = new Map();

  const planOf = async (files: readonly SourceFile[]) => {
    const lookup = secretLookup(environment);
    const { world: read, problems } = readWorld(files, lookup);
    const world = { ...read, jwks: issuerKeys.results(), tokens: tokens.results() };
    if (usesEcho(world)) {
      echo ??= await startEcho();
    }
    const plan = translate(echo ? withEcho(world, echo) : world, { envoy, routeSecret });
    const all = [...problems, ...plan.problems];
    const ofSeverity = (severity: Problem['severity']) => all.filter((each) => each.severity === severity);
    const wrong = ofSeverity('Error');
    const errors = wrong.map(problemText);
    if (errors.length === 0 && plan.envoy.listeners.length === 0) {
      errors.push(noGateway(paths));
    }
    const warnings = ofSeverity('Warning').map(problemText);
    const replaced = all.filter(({ reason }) => reason === 'Replaced').map(problemText);
    return { plan, errors, wrong, warnings, replaced, secretPaths: lookup.paths };
  };

  return {
    async load() {
      const sources = readSources(paths);
      const asTheyAre = await planOf(sources.files);
      const errors = [...sources.unreadable.map(({ text }) => text), ...asTheyAre.errors];
      const common = {
        errors,
        paths: [...sources.paths, ...asTheyAre.secretPaths],
        digest: createHash('sha256').update(JSON.stringify(sources)).digest('hex'),
      };
      const take = (
        files: readonly SourceFile[],
        { plan, warnings, replaced }: typeof asTheyAre,
        held: readonly string[],
      ) => {
        good = new Map(files.map((file) => [file.name, file]));
        issuerKeys.want(plan.jwksSources);
        tokens.want(plan.wantedTokens);
        return { ...common, plan, held, warnings, replaced };
      };
      if (errors.length === 0) {
        return take(sources.files, asTheyAre, []);
      }

      // Files may be independent of each other: those with an error keep their last valid text, and
      // the others are applied.
      const held = new Set([
        ...sources.unreadable.map(({ path }) => path),
        ...asTheyAre.wrong.flatMap(({ file }) => file ?? []),
      ]);
      const files = [
        ...sources.files.filter(({ name }) => !held.has(name)),
        ...[...held].flatMap((name) => good.get(name) ?? []),
      ];
      const withoutThem = good.size > 0 && held.size > 0 ? await planOf(files) : undefined;
      if (withoutThem?.errors.length === 0) {
        common.paths.push(...withoutThem.secretPaths);
        return take(files, withoutThem, [...held]);
      }
      const { warnings, replaced } = asTheyAre;
      return { ...common, plan: undefined, held: [], warnings, replaced };
    },
    async close() {
      await echo?.close();
    },
  };
}
