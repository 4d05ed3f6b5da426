/** Resources that have no counterpart, and members that need none. */
import { NAMES_OBJECT } from '../report.ts';
import type { SourceField } from '../source-field.ts';
import type { ForeignResources } from './resources.ts';

const kinds: Readonly<Record<string, readonly [why: string, fix: string]>> = {
  MCPRoute: ['Tallygate is no gateway for MCP', 'keep Envoy AI Gateway for MCP servers, on a Gateway of its own'],
  InferencePool: ['Tallygate does not ask endpoint pickers', 'write an AIBackend for the Service of the model servers'],
  InferenceObjective: ['Tallygate does not ask endpoint pickers', 'remove it with its InferencePool'],
  InferenceModel: ['Tallygate does not ask endpoint pickers', 'remove it with its InferencePool'],
  HTTPRoute: ['it serves no models', 'keep it: Envoy Gateway serves it beside the routes of Tallygate'],
  EnvoyExtensionPolicy: [
    'Envoy Gateway drops its processors where Tallygate has one',
    'see docs/guides/troubleshooting.md',
  ],
  EnvoyPatchPolicy: ['it patches what Envoy AI Gateway generates', 'check whether you still need it'],
  EnvoyProxy: ['the class of the chart has its own', 'merge it with the output of tallygate sidecar-patch'],
  ClientTrafficPolicy: [
    'Tallygate collects bodies itself, by maxRequestBodySize of a route',
    'keep it on a cluster for its other settings',
  ],
};

const kept: readonly string[] = [
  'GatewayClass',
  'Deployment',
  'StatefulSet',
  'Service',
  'ServiceAccount',
  'ConfigMap',
  'Namespace',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
  'ReferenceGrant',
  'PersistentVolumeClaim',
  'HorizontalPodAutoscaler',
];

/** Leaves verdicts on what nothing else has read. */
export function explainResources(resources: ForeignResources): void {
  for (const { field, kind } of resources.all) {
    const known = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (known !== undefined && field.verdicts.length === 0) {
      field.hasNoEqual(...known);
    } else if (kept.includes(kind) && field.verdicts.length === 0) {
      field.isNotNeeded('it stays as it is');
    }
    explainMetadata(field);
    if (kind === 'Secret' && [...leafVerdicts(field)].length === 0) {
      field.isNotNeeded('nothing that is converted names it');
    }
    if (['Backend', 'BackendTLSPolicy'].includes(kind) && [...leafVerdicts(field.at('spec'))].length === 0) {
      field.hasNoEqual('no AIServiceBackend that is converted uses it', 'remove it, or write an AIBackend');
    }
  }
  explainTraffic(resources);
  explainCosts(resources);
}

function* leafVerdicts(field: SourceField | undefined): Generator<unknown> {
  if (field !== undefined) {
    yield* field.verdicts;
    for (const member of field.isList ? field.items : field.members.values()) {
      yield* leafVerdicts(member);
    }
  }
}

function explainMetadata(field: SourceField): void {
  for (const member of [
    field.at('apiVersion'),
    field.at('kind'),
    field.at('metadata', 'name'),
    field.at('metadata', 'namespace'),
  ]) {
    member?.isNotNeeded(NAMES_OBJECT);
  }
  field.at('status')?.isNotNeeded('a controller writes it');
  for (const member of field.at('metadata')?.members.values() ?? []) {
    if (member.verdicts.length === 0) {
      member.isNotNeeded('objects of the output have no labels and annotations of the source');
    }
  }
}

const traffic: Readonly<Record<string, readonly [why: string, fix: string]>> = {
  loadBalancer: ['rules choose among backends', 'set loadBalancer or affinity of the rules'],
  circuitBreaker: ['Tallygate bounds requests by quotas', 'add a quota of ConcurrentRequests'],
  tcpKeepalive: ['connections have fixed settings', 'remove it'],
  connection: ['connections have fixed settings', 'remove it'],
  dns: ['connections have fixed settings', 'remove it'],
  compression: ['responses pass as the provider sends them', 'remove it'],
  responseOverride: ['errors have the shape of the client API', 'remove it'],
  faultInjection: ['Tallygate injects no faults', 'remove it'],
  useClientProtocol: ['connections have fixed settings', 'remove it'],
  requestBuffer: ['Tallygate collects bodies itself', 'set maxRequestBodySize of the route'],
};

function explainTraffic(resources: ForeignResources): void {
  for (const { field } of resources.of('BackendTrafficPolicy')) {
    for (const [name, [why, fix]] of Object.entries(traffic)) {
      field.at('spec', name)?.hasNoEqual(why, fix);
    }
    field
      .at('spec', 'healthCheck', 'active')
      ?.hasNoEqual('health is learned from requests', 'see Healthy of the AIBackend');
    for (const name of ['retry', 'healthCheck', 'timeout', 'targetRefs', 'targetRef']) {
      const member = field.at('spec', name);
      if (member !== undefined && [...leafVerdicts(member)].length === 0) {
        member.hasNoEqual('it applies to no rule that is converted', 'set timeouts, retries and failover of the rules');
      }
    }
  }
}

function explainCosts(resources: ForeignResources): void {
  for (const { field, kind } of [...resources.of('AIGatewayRoute'), ...resources.of('GatewayConfig')]) {
    for (const name of ['llmRequestCosts', 'globalLLMRequestCosts']) {
      for (const cost of field.at('spec', name)?.items ?? []) {
        if ([...leafVerdicts(cost)].length === 0) {
          cost.isNotNeeded('limits count tokens themselves, and usage records have all kinds');
        }
      }
    }
    if (kind === 'GatewayConfig') {
      const fix = 'set the values of the chart (resources, OTEL_EXPORTER_OTLP_ENDPOINT)';
      field.at('spec', 'extProc')?.hasNoEqual('it configures the processor of the source', fix);
      field
        .at('spec', 'globalRateLimitsFromHeaders')
        ?.hasNoEqual('amounts come from policies', 'use overrides of a quota');
    }
  }
}
