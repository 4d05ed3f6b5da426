/**
 * The Secrets of the output. They name environment variables and files, as `tallygate run` reads
 * them; the converter copies no secret.
 */
import { ObjectDraft } from './draft.ts';
import { labelOf, UniqueLabels, variableOf } from './names.ts';
import type { SourceField } from './source-field.ts';

const ENVIRONMENT = /^os\.environ\/([A-Za-z_][A-Za-z0-9_]*)$/;

const onCluster =
  'For tallygate run, which reads the variables. On a cluster, create the Secret with the values; kubectl would apply this text as it is.';

export class SecretDrafts {
  readonly #namespace: string;
  readonly #labels = new UniqueLabels();
  readonly #secrets = new Map<string, ObjectDraft>();
  readonly #variables = new Map<string, string>();

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  get drafts(): readonly ObjectDraft[] {
    return [...this.#secrets.values()];
  }

  /**
   * Returns the name of the variable that holds a secret: the one that the source names, or a new
   * one for a value that stands in the source. Equal values share a variable.
   */
  variable(field: SourceField, wanted: string): string {
    const text = field.text ?? '';
    const named = environmentVariable(text);
    if (named !== undefined) {
      return named;
    }
    const known = this.#variables.get(text);
    if (known !== undefined) {
      return known;
    }
    const used = new Set(this.#variables.values());
    let name = variableOf(wanted);
    for (let count = 2; used.has(name); count++) {
      name = `${variableOf(wanted)}_${count}`;
    }
    this.#variables.set(text, name);
    return name;
  }

  /** Returns the Secret with these data, which are texts with `${NAME}` and `${file:PATH}`. */
  secret(name: string, stringData: Readonly<Record<string, string>>): ObjectDraft {
    const identity = JSON.stringify(stringData);
    const known = this.#secrets.get(identity);
    if (known !== undefined) {
      return known;
    }
    const draft = new ObjectDraft({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: this.#labels.next(labelOf(name)), namespace: this.#namespace },
      stringData,
    });
    draft.comment(draft.place(), onCluster);
    this.#secrets.set(identity, draft);
    return draft;
  }

  /** Leaves the verdict on the field of a secret. */
  static report(field: SourceField, secret: ObjectDraft, key: string, variable: string): void {
    const place = secret.place(secret.object.stringData ?? secret.object, key);
    if (environmentVariable(field.text ?? '') === undefined) {
      field.differs(place, `The value is not copied: set the environment variable ${variable}.`);
    } else {
      field.becomes(place);
    }
  }
}

/** Returns the name in `os.environ/NAME`, as LiteLLM reads it. */
export function environmentVariable(text: string): string | undefined {
  return ENVIRONMENT.exec(text.trim())?.[1];
}
