/** Secrets and certificates that the resources name: values of Secrets become variables. */
import { ObjectDraft } from '../draft.ts';
import { variableOf } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import type { ForeignResources } from './resources.ts';

const onCluster =
  'For tallygate run, which reads the variables. On a cluster, keep the Secret that exists: kubectl would replace its values by this text.';
const newOnCluster =
  'For tallygate run, which reads the variables. On a cluster, create the Secret with the values; its keys differ from those of the source.';
const SUBSTITUTION = 'substitution.aigw.run/env/';

export interface SecretReference {
  readonly namespace: string;
  readonly name: string;
}

export class ForeignSecrets {
  readonly #resources: ForeignResources;
  readonly #drafts = new Map<string, ObjectDraft>();

  constructor(resources: ForeignResources) {
    this.#resources = resources;
  }

  get drafts(): readonly ObjectDraft[] {
    return [...this.#drafts.values()];
  }

  /** Adds a Secret of the source with some of its keys. */
  keep({ namespace, name }: SecretReference, keys: readonly string[], type?: string): void {
    const field = this.#resources.find('Secret', namespace, name)?.field;
    const values = Object.fromEntries(keys.map((key) => [key, this.#variable(field, name, key)]));
    const draft = this.#add({ namespace, name }, values, onCluster, type);
    for (const key of keys) {
      const value = field?.at('stringData', key) ?? field?.at('data', key);
      const how = `The value is not copied: ${values[key]} stands for it.`;
      value?.differs(draft.place(draft.object.stringData ?? draft.object, key), how);
    }
    field?.at('type')?.isNotNeeded('the keys say what the Secret is');
  }

  /** Adds a Secret with keys that the source has in another form. */
  create(reference: SecretReference, variables: Readonly<Record<string, string>>): void {
    this.#add(reference, variables, newOnCluster);
  }

  /** Adds a ConfigMap with CA certificates, which are public. */
  certificates({ namespace, name }: SecretReference, pem: string): ObjectDraft {
    const known = this.#drafts.get(`ConfigMap ${namespace}/${name}`);
    const metadata = { name, namespace };
    const draft = known ?? new ObjectDraft({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': pem } });
    this.#drafts.set(`ConfigMap ${namespace}/${name}`, draft);
    return draft;
  }

  #add({ namespace, name }: SecretReference, values: Readonly<Record<string, string>>, comment: string, type?: string) {
    const known = this.#drafts.get(`${namespace}/${name}`);
    if (known !== undefined) {
      return known;
    }
    const draft = new ObjectDraft({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace },
      ...(type !== undefined && { type }),
      stringData: values,
    });
    draft.comment(draft.place(), comment);
    this.#drafts.set(`${namespace}/${name}`, draft);
    return draft;
  }

  #variable(field: SourceField | undefined, name: string, key: string): string {
    const named = field?.at('metadata', 'annotations', `${SUBSTITUTION}${key}`)?.text;
    if (key.startsWith('tls.') || key === 'ca.crt' || key.endsWith('.json')) {
      return `\${file:${name}-${key}}`;
    }
    const suffix = ['apiKey', 'client-secret'].includes(key) ? '' : `_${key}`;
    return `\${${named !== undefined && /^[A-Za-z_][A-Za-z0-9_]*$/.test(named) ? named : variableOf(`${name}${suffix}`)}}`;
  }
}

/** Reads a reference to a Secret, in the namespace of its policy by default. */
export function secretReference(field: SourceField | undefined, namespace: string): SecretReference | undefined {
  const name = field?.at('name')?.text;
  return name === undefined ? undefined : { namespace: field?.at('namespace')?.text ?? namespace, name };
}
