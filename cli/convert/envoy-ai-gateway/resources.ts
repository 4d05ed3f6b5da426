/** The resources of Envoy AI Gateway, Envoy Gateway and Gateway API, by kind and name. */
import { dnsLabel, objectName } from '../../../crds/schema.ts';
import type { SourceField } from '../source-field.ts';

export interface ForeignResource {
  readonly field: SourceField;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Names that kinds had in early versions. */
const formerKinds: Readonly<Record<string, string>> = { AIRoute: 'AIGatewayRoute', AIBackend: 'AIServiceBackend' };

export class ForeignResources {
  readonly all: readonly ForeignResource[];

  constructor(roots: readonly SourceField[]) {
    this.all = roots.flatMap(resourcesIn);
  }

  of(kind: string): readonly ForeignResource[] {
    return this.all.filter((each) => each.kind === kind);
  }

  find(kind: string, namespace: string, name: string | undefined): ForeignResource | undefined {
    return this.of(kind).find((each) => each.namespace === namespace && each.name === name);
  }
}

/** A document, or the items of a list as `kubectl get -o yaml` prints it. */
function resourcesIn(root: SourceField): readonly ForeignResource[] {
  const items = root.at('items')?.items ?? [];
  return (root.at('kind')?.text === 'List' ? items : [root]).flatMap((field) => {
    const kind = field.at('kind')?.text;
    const name = field.at('metadata', 'name')?.text;
    const namespace = field.at('metadata', 'namespace')?.text ?? 'default';
    if (kind === undefined || !objectName.safeParse(name).success || !dnsLabel.safeParse(namespace).success) {
      field.hasNoEqual('it has no kind, or no name of a Kubernetes object', 'correct it');
      return [];
    }
    return [{ field, kind: formerKinds[kind] ?? kind, namespace, name: name ?? '' }];
  });
}

/** The targets of a policy, which may be one or several. */
export function targetsOf({ field }: ForeignResource): readonly SourceField[] {
  const one = field.at('spec', 'targetRef');
  return [...(field.at('spec', 'targetRefs')?.items ?? []), ...(one === undefined ? [] : [one])];
}
