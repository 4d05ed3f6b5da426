/** Gateways of the files, and those that routes name. */
import { gatewaySpec } from '../../../crds/gateway-api.ts';
import { ObjectDraft } from '../draft.ts';
import type { SourceField } from '../source-field.ts';
import type { ForeignResource, ForeignResources } from './resources.ts';
import type { ConvertedRoute } from './routes.ts';
import { type ForeignSecrets, secretReference } from './secrets.ts';

const CLASS = 'tallygate';

export function gatewayDrafts(
  resources: ForeignResources,
  routes: readonly ConvertedRoute[],
  secrets: ForeignSecrets,
): readonly ObjectDraft[] {
  const own = resources.of('Gateway').flatMap((gateway) => gatewayDraft(gateway, secrets) ?? []);
  const known = new Set(own.map(({ object: { metadata } }) => `${metadata.namespace}/${metadata.name}`));
  const missing = new Map(
    routes
      .flatMap(({ gateways, namespace }) => gateways.map((each) => ({ ...each, from: namespace })))
      .filter(({ namespace, name }) => !known.has(`${namespace}/${name}`))
      .map((each) => [`${each.namespace}/${each.name}`, each]),
  );
  return [...own, ...[...missing.values()].map(placeholder)];
}

function gatewayDraft({ field, namespace, name }: ForeignResource, secrets: ForeignSecrets): ObjectDraft | undefined {
  const stated = field.at('spec', 'listeners')?.items ?? [];
  const listeners = stated.flatMap((listener) => listenerOf(listener, namespace, secrets) ?? []);
  const spec = { gatewayClassName: CLASS, listeners };
  if (!gatewaySpec.safeParse(spec).success) {
    field.hasNoEqual('it has no listener for HTTP that is valid', 'write a Gateway');
    return undefined;
  }
  const draft = new ObjectDraft({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace },
    spec,
  });
  field
    .at('spec', 'gatewayClassName')
    ?.differs(draft.place(spec, 'gatewayClassName'), "The class of Tallygate's chart, whose proxies have its sidecar.");
  for (const [index, listener] of listeners.entries()) {
    for (const member of stated[index]?.members.values() ?? []) {
      if (member.verdicts.length === 0) {
        member.becomes(draft.place(listener));
      }
    }
  }
  field
    .at('spec', 'infrastructure')
    ?.hasNoEqual('the class has its EnvoyProxy', 'merge yours with the output of tallygate sidecar-patch');
  field.at('metadata', 'annotations')?.isNotNeeded('Tallygate reads no annotations of Gateways');
  return draft;
}

function listenerOf(listener: SourceField, namespace: string, secrets: ForeignSecrets): object | undefined {
  const protocol = listener.at('protocol')?.text;
  if (protocol !== 'HTTP' && protocol !== 'HTTPS') {
    listener.hasNoEqual('Tallygate serves HTTP and HTTPS', 'keep another Gateway for it');
    return undefined;
  }
  const references = listener.at('tls', 'certificateRefs')?.items ?? [];
  for (const each of references) {
    const secret = secretReference(each, namespace);
    if (secret !== undefined) {
      secrets.keep(secret, ['tls.crt', 'tls.key'], 'kubernetes.io/tls');
    }
  }
  const members = ['name', 'hostname', 'port', 'protocol', 'tls', 'allowedRoutes'];
  return Object.fromEntries(
    members.flatMap((name) => {
      const member = listener.at(name);
      return member === undefined ? [] : [[name, structuredClone(member.value)]];
    }),
  );
}

function placeholder({
  namespace,
  name,
  from,
}: {
  readonly namespace: string;
  readonly name: string;
  readonly from: string;
}) {
  const allowedRoutes = { namespaces: { from: 'All' } };
  const listener = { name: 'http', port: 8080, protocol: 'HTTP', ...(from !== namespace && { allowedRoutes }) };
  const draft = new ObjectDraft({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace },
    spec: { gatewayClassName: CLASS, listeners: [listener] },
  });
  draft.comment(draft.place(), 'The files do not have this Gateway. On a cluster, change the class of yours instead.');
  return draft;
}
