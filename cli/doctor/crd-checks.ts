/** Compares the CRDs of a cluster with those of this version. */
import { resourcePath } from '../../controller/api/resource.ts';
import { customResourceDefinition, type JsonSchema } from '../../crds/custom-resource.ts';
import { type KindDefinition, kinds } from '../../crds/kinds.ts';
import { GROUP, VERSION } from '../../crds/schema.ts';
import { type CheckOutcome, ok, problem, warning } from './check-result.ts';
import { CLUSTER_SECTION, type ClusterOfChecks, CRD, readOrNone } from './cluster-reader.ts';

export interface CrdObject {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly versions?: readonly {
      readonly name: string;
      readonly schema?: { readonly openAPIV3Schema?: JsonSchema };
    }[];
  };
}

const SHOWN_FIELDS = 3;

export async function crdOutcomes({ read, version }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const outcomes = await Promise.all(
    kinds.map(async (definition) => {
      const name = `${definition.plural}.${GROUP}`;
      const crd = await readOrNone<CrdObject>(read, resourcePath(CRD, '', name));
      return crdOutcome(name, definition, crd, version);
    }),
  );
  const found = outcomes.filter((outcome) => outcome !== undefined);
  return found.length > 0 ? found : [ok(`all ${kinds.length} are installed`)];
}

function crdOutcome(
  name: string,
  definition: KindDefinition,
  crd: CrdObject | undefined,
  version: string,
): CheckOutcome | undefined {
  if (crd === undefined) {
    return problem(`${name} is missing`, 'install the chart with crds.install, or apply its CRDs', CLUSTER_SECTION);
  }
  const upgrade = 'upgrade the chart with its CRDs, or apply those of this version';
  const installed = crd.metadata.labels?.['app.kubernetes.io/version'];
  if (installed !== undefined && installed !== version) {
    return warning(`${name} is of version ${installed}, not ${version}`, upgrade, CLUSTER_SECTION);
  }
  // CRDs that were applied by hand have no label.
  const wanted = fieldsOf(customResourceDefinition(definition) as CrdObject);
  const present = fieldsOf(crd);
  const missing = [...wanted].filter((field) => !present.has(field));
  if (missing.length > 0) {
    return problem(`${name} lacks ${shownFields(missing)}: the cluster drops or refuses it`, upgrade, CLUSTER_SECTION);
  }
  const additional = [...present].filter((field) => !wanted.has(field));
  return additional.length === 0
    ? undefined
    : warning(`${name} has ${shownFields(additional)}, which ${version} does not know`, upgrade, CLUSTER_SECTION);
}

/** Returns the paths of all fields, such as `spec.rules[].name`, and the values of enumerations. */
function fieldsOf({ spec }: CrdObject): ReadonlySet<string> {
  const schema = spec?.versions?.find(({ name }) => name === VERSION)?.schema?.openAPIV3Schema;
  const found = new Set<string>();
  if (schema !== undefined) {
    addFields(schema, '', found);
  }
  return found;
}

function addFields({ properties, items, additionalProperties, enum: values }: JsonSchema, at: string, to: Set<string>) {
  for (const [name, property] of Object.entries(properties ?? {})) {
    const path = at === '' ? name : `${at}.${name}`;
    to.add(path);
    addFields(property, path, to);
  }
  for (const value of values ?? []) {
    to.add(`${at}=${value}`);
  }
  if (items !== undefined) {
    addFields(items, `${at}[]`, to);
  }
  // The API server may return a boolean.
  if (typeof additionalProperties === 'object') {
    addFields(additionalProperties, `${at}{}`, to);
  }
}

/** Names fields without those within them. */
function shownFields(fields: readonly string[]): string {
  const all = new Set(fields);
  const outer = fields.filter((field) => !parentsOf(field).some((parent) => all.has(parent)));
  const shown = outer.slice(0, SHOWN_FIELDS).join(', ');
  return outer.length > SHOWN_FIELDS ? `${shown} and ${outer.length - SHOWN_FIELDS} more fields` : shown;
}

/** Returns the paths of the fields around a field. */
function parentsOf(field: string): readonly string[] {
  return [...field.matchAll(/[.[{=]/g)].map(({ index }) => field.slice(0, index));
}
