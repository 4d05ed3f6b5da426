/** What the parts of the conversion from LiteLLM share. */
import type { SecretDrafts } from '../secrets.ts';
import { environmentVariable } from '../secrets.ts';
import type { SourceField } from '../source-field.ts';

/** The files of one LiteLLM: its configuration, and exports of keys and teams. */
export class LiteLlmFiles {
  readonly #roots: readonly SourceField[];

  constructor(roots: readonly SourceField[]) {
    this.#roots = roots;
  }

  /** The field of the first file that has it. */
  at(...names: readonly string[]): SourceField | undefined {
    return this.#roots.map((root) => root.at(...names)).find((each) => each !== undefined);
  }

  /** The items of a list, of all files. */
  items(name: string): readonly SourceField[] {
    return this.#roots.flatMap((root) => root.at(name)?.items ?? []);
  }
}

export interface LiteLlmSource {
  readonly root: LiteLlmFiles;
  readonly secrets: SecretDrafts;
  /** The environment in which the converter runs, for values that are not secret. */
  readonly environment: (name: string) => string | undefined;
}

export const NAMESPACE = 'default';
export const GATEWAY = 'ai';
export const GATEWAY_REF = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: GATEWAY } as const;

/**
 * Returns the value of a field that is not secret. LiteLLM reads `os.environ/NAME` when it starts,
 * Tallygate has variables only in Secrets, so the converter reads them now. Undefined if the
 * variable is not set.
 */
export function settingOf(field: SourceField | undefined, { root, environment }: LiteLlmSource): string | undefined {
  const text = field?.text;
  const name = text === undefined ? undefined : environmentVariable(text);
  return name === undefined ? text : (root.at('environment_variables', name)?.text ?? environment(name));
}
