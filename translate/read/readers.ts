/** One reader per kind. */
import type { z } from 'zod';
import { gatewaySpec, referenceGrantSpec } from '../../crds/gateway-api.ts';
import { kindsByName, type Metadata } from '../../crds/kinds.ts';
import { API_VERSION, GATEWAY_GROUP } from '../../crds/schema.ts';
import type { ProblemFields } from '../problem.ts';
import type { Located, World } from '../world.ts';
import type { YamlDocument } from './documents.ts';
import { fieldProblem, unknownFields } from './fields.ts';
import { readConfigMap, readSecret } from './secrets.ts';
import type { Lookup } from './variables.ts';

/** A world under construction. */
export type Draft = { -readonly [List in keyof World]: World[List][number][] };

export function emptyDraft(): Draft {
  return {
    gateways: [],
    routes: [],
    backends: [],
    quotaPolicies: [],
    secrets: [],
    configMaps: [],
    referenceGrants: [],
    refused: [],
  };
}

/** The input of a reader; `problem` collects the faults of the document. */
export interface Reading {
  readonly document: YamlDocument;
  readonly metadata: Metadata;
  readonly problem: (found: ProblemFields) => void;
  readonly lookup: Lookup;
}

export interface Reader {
  readonly apiVersion: string;
  readonly kind: string;
  /**
   * Returns a function that adds the object to a world, or undefined if the object is not valid.
   */
  read(reading: Reading): ((world: Draft) => void) | undefined;
}

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
): Reader {
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

function ownReader<S extends z.ZodType>(kind: { readonly kind: string; readonly spec: S }, add: Add<S>): Reader {
  return specReader(API_VERSION, kind.kind, kind.spec, 'all', add);
}

const { AIGatewayRoute, AIBackend, AIQuotaPolicy } = kindsByName;

export const readers: readonly Reader[] = [
  ownReader(AIGatewayRoute, (world, object) => world.routes.push(object)),
  ownReader(AIBackend, (world, object) => world.backends.push(object)),
  ownReader(AIQuotaPolicy, (world, object) => world.quotaPolicies.push(object)),
  ...[`${GATEWAY_GROUP}/v1`, `${GATEWAY_GROUP}/v1beta1`].flatMap((version) => [
    specReader(version, 'Gateway', gatewaySpec, 'some', (world, object) => world.gateways.push(object)),
    specReader(version, 'ReferenceGrant', referenceGrantSpec, 'some', (world, object) =>
      world.referenceGrants.push(object),
    ),
  ]),
  {
    apiVersion: 'v1',
    kind: 'Secret',
    read: (reading) => {
      const secret = readSecret(reading);
      return (world) => world.secrets.push(secret);
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    read: (reading) => {
      const configMap = readConfigMap(reading);
      return (world) => world.configMaps.push(configMap);
    },
  },
];
