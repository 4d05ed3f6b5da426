/** One reader per kind. */
import type { z } from 'zod';
import { gatewaySpec, referenceGrantSpec } from '../../crds/gateway-api.ts';
import { kindsByName, type Metadata } from '../../crds/kinds.ts';
import { API_VERSION, GATEWAY_GROUP } from '../../crds/schema.ts';
import type { Located } from '../world.ts';
import { apiKeySecret, isApiKeySecret } from './api-key-secret.ts';
import { fieldProblem, unknownFields } from './fields.ts';
import type { Draft, ObjectReader } from './reader.ts';
import { readConfigMap, readSecret } from './secrets.ts';

type Add<S extends z.ZodType> = (
  world: Draft,
  object: Located<{ readonly metadata: Metadata; readonly spec: z.output<S> }>,
) => void;

function specReader<S extends z.ZodType>(
  apiVersion: string,
  kind: string,
  spec: S,
  fields: 'all' | 'some',
  add: Add<S>,
): ObjectReader {
  return {
    apiVersion,
    kind,
    read({ document, metadata, problem }) {
      if (fields === 'all') {
        for (const unknown of unknownFields(spec, document.value)) {
          problem(unknown);
        }
      }
      const parsed = spec.safeParse(document.value.spec, { reportInput: true });
      if (parsed.success) {
        return (world) => add(world, { metadata, spec: parsed.data, source: document.source });
      }
      for (const issue of parsed.error.issues) {
        problem(fieldProblem(issue, 'spec'));
      }
      return undefined;
    },
  };
}

function ownReader<S extends z.ZodType>(kind: { readonly kind: string; readonly spec: S }, add: Add<S>): ObjectReader {
  return specReader(API_VERSION, kind.kind, kind.spec, 'all', add);
}

const { AIGatewayRoute, AIBackend, AIQuotaPolicy, AIAccessPolicy, AIGuardrailPolicy, AIContentPolicy } = kindsByName;

export const readers: readonly ObjectReader[] = [
  ownReader(AIGatewayRoute, (world, object) => world.routes.push(object)),
  ownReader(AIBackend, (world, object) => world.backends.push(object)),
  ownReader(AIQuotaPolicy, (world, object) => world.quotaPolicies.push(object)),
  ownReader(AIAccessPolicy, (world, object) => world.accessPolicies.push(object)),
  ownReader(AIGuardrailPolicy, (world, object) => world.guardrailPolicies.push(object)),
  ownReader(AIContentPolicy, (world, object) => world.contentPolicies.push(object)),
  ...[`${GATEWAY_GROUP}/v1`, `${GATEWAY_GROUP}/v1beta1`].flatMap((version) => [
    specReader(version, 'Gateway', gatewaySpec, 'some', (world, object) => world.gateways.push(object)),
    specReader(version, 'ReferenceGrant', referenceGrantSpec, 'some', (world, object) =>
      world.referenceGrants.push(object),
    ),
  ]),
  {
    apiVersion: 'v1',
    kind: 'Secret',
    read: (input) => {
      const secret = readSecret(input);
      return (world) => {
        world.secrets.push(secret);
        if (isApiKeySecret(secret.metadata)) {
          world.apiKeySecrets.push(apiKeySecret(secret));
        }
      };
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    read: (input) => {
      const configMap = readConfigMap(input);
      return (world) => world.configMaps.push(configMap);
    },
  },
];
