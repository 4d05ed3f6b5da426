/** The fields of one entry of `model_list`: its own, and those of the credential that it names. */
import type { SourceField } from '../source-field.ts';
import type { LiteLlmSource } from './source.ts';

export class DeploymentFields {
  readonly entry: SourceField;
  readonly #params: SourceField | undefined;
  readonly #credential: SourceField | undefined;

  constructor(entry: SourceField, { root }: LiteLlmSource) {
    this.entry = entry;
    this.#params = entry.at('litellm_params');
    const name = this.#params?.at('litellm_credential_name');
    const named = root
      .at('credential_list')
      ?.items.find((each) => each.at('credential_name')?.text === name?.text && name !== undefined);
    this.#credential = named?.at('credential_values');
    if (named !== undefined) {
      const why = 'each AIBackend has the credential itself';
      name?.isNotNeeded(why);
      named.at('credential_name')?.isNotNeeded(why);
      named.at('credential_info')?.isNotNeeded('it describes the credential');
    } else {
      name?.hasNoEqual('credential_list has no such credential', 'add it, or set the credential of the AIBackend');
    }
  }

  at(...names: readonly string[]): SourceField | undefined {
    return first(names, (name) => this.#params?.at(name)) ?? first(names, (name) => this.#credential?.at(name));
  }

  info(name: string): SourceField | undefined {
    return this.entry.at('model_info', name);
  }

  /** The fields of `litellm_params`. */
  get params(): ReadonlyMap<string, SourceField> {
    return this.#params?.members ?? new Map();
  }
}

function first<T>(names: readonly string[], read: (name: string) => T | undefined): T | undefined {
  for (const name of names) {
    const found = read(name);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}
