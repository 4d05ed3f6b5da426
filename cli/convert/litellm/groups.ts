/** Groups of deployments of one name, and the models that clients ask for. */
import { modelPattern } from '../../../crds/schema.ts';
import type { SourceField } from '../source-field.ts';
import type { Deployment } from './backends.ts';

export interface ModelGroup {
  readonly name: string;
  readonly deployments: readonly Deployment[];
  /** What a rule matches: the name, globs, and aliases. */
  readonly models: string[];
}

/** A rule has at most so many models. */
export const MAX_RULE_MODELS = 64;

export function groupsOf(deployments: readonly Deployment[]): readonly ModelGroup[] {
  const groups = new Map<string, Deployment[]>();
  for (const deployment of deployments) {
    const of = groups.get(deployment.group) ?? [];
    groups.set(deployment.group, of);
    of.push(deployment);
  }
  return [...groups].flatMap(([name, all]) => {
    const served = all.filter(({ model }) => name.includes('*') === (model === undefined));
    for (const { fields } of all.filter((each) => !served.includes(each))) {
      const why = 'a wildcard in only one of model_name and litellm_params.model';
      fields.entry.hasNoEqual(why, 'list the models, each with its own rule');
    }
    const models = served[0] === undefined ? undefined : modelsOf(name, served[0]);
    if (models === undefined) {
      for (const { fields } of served) {
        const { why, fix } = name.includes('*') ? prefixed : unusable;
        fields.entry.hasNoEqual(why, fix);
      }
      return [];
    }
    return [{ name, deployments: served, models: [...models] }];
  });
}

const prefixed = {
  why: "Tallygate sends the client's name of the model on as it is, without removing a prefix",
  fix: 'list the models: rules with models: [PREFIX/NAME], and NAME as the model of the backendRef',
};

const unusable = { why: 'the name has spaces or is too long for a model', fix: 'choose another name' };

function modelsOf(name: string, { named, model }: Deployment): readonly string[] | undefined {
  if (!modelPattern.safeParse(name).success) {
    return undefined;
  }
  if (model !== undefined || name === named.model || (name === '*' && named.model === '*')) {
    return [name];
  }
  const isWholeProvider = named.model === '*' && /^[^*]+\/\*$/.test(name);
  return isWholeProvider ? named.provider.families : undefined;
}

/** Leaves the verdicts on the names of a group, once its rule exists. */
export function reportNames(group: ModelGroup, place: (key: string) => Parameters<SourceField['becomes']>[0]): void {
  for (const { fields, named, model } of group.deployments) {
    const [name, own] = [fields.entry.at('model_name'), fields.at('model')];
    if (model === undefined && group.name !== named.model && group.name !== '*') {
      const how = 'Clients name the models without the prefix. Families of the provider stand for the wildcard.';
      name?.differs(place('models'), how);
    } else {
      name?.becomes(place('models'));
    }
    own?.becomes(place('backendRefs'));
  }
}
