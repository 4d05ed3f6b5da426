/** Converts the resources of Envoy AI Gateway, with those of Envoy Gateway that belong to them. */
import type { ObjectDraft } from '../draft.ts';
import type { SourceField } from '../source-field.ts';
import { claimHeaders, foreignAccess } from './access.ts';
import { foreignBackend } from './backends.ts';
import { gatewayDrafts } from './gateways.ts';
import { explainResources } from './other-resources.ts';
import { foreignQuotas } from './quotas.ts';
import { ForeignResources } from './resources.ts';
import { foreignRoute } from './routes.ts';
import { ForeignSecrets } from './secrets.ts';

const groups = ['aigateway.envoyproxy.io', 'gateway.envoyproxy.io', 'inference.networking.k8s.io'];

/** Returns whether a document can only be one of Envoy AI Gateway or Envoy Gateway. */
export function isEnvoyAiGateway(value: Readonly<Record<string, unknown>>): boolean {
  const items = value['kind'] === 'List' && Array.isArray(value['items']) ? value['items'] : [value];
  return items.some((each: unknown) => {
    const version = typeof each === 'object' && each !== null && 'apiVersion' in each ? String(each.apiVersion) : '';
    return groups.includes(version.split('/')[0] ?? '');
  });
}

export function convertEnvoyAiGateway(roots: readonly SourceField[]): readonly ObjectDraft[] {
  const resources = new ForeignResources(roots);
  const secrets = new ForeignSecrets(resources);
  const backends = resources.of('AIServiceBackend').flatMap((each) => foreignBackend(each, resources, secrets) ?? []);
  const routes = resources
    .of('AIGatewayRoute')
    .flatMap((resource) => foreignRoute({ resource, resources, backends }) ?? []);
  const access = foreignAccess({ resources, routes });
  const quotas = foreignQuotas({ resources, routes, claims: claimHeaders(resources) });
  const gateways = gatewayDrafts(resources, routes, secrets);
  explainResources(resources);
  const isSecret = ({ object }: ObjectDraft) => object.kind === 'Secret';
  return [
    ...gateways,
    ...backends.map(({ draft }) => draft),
    ...routes.map(({ draft }) => draft),
    ...access.filter((each) => !isSecret(each)),
    ...quotas,
    ...access.filter(isSecret),
    ...secrets.drafts,
  ];
}
