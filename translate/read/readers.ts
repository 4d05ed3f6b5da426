/** The kinds that are read, one reader each. */
import type { z } from 'zod';
import { gatewaySpec, referenceGrantSpec } from '../../crds/gateway-api.ts';
import { kindsByName, type Metadata } from '../../crds/kinds.ts';
import { API_VERSION, GATEWAY_GROUP } from '../../crds/schema.ts';
import type { Problem } from '../problem.ts';
import type { Located, World } from '../world.ts';
import type { YamlDocument } from './documents.ts';
import { fieldProblem, unknownFields } from './fields.ts';
import { readConfigMap, readSecret } from './secrets.ts';
import type { Lookup } from './variables.ts';

export type Found = Pick<Problem, 'reason' | 'path' | 'message' | 'fix'>;

/** A world that is being filled. */
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

/** What one document is read with; everything that is wrong with it is said by `problem`. */
export interface Reading {
  readonly document: YamlDocument;
  readonly metadata: Metadata;
  readonly problem: (found: Found) => void;
  readonly lookup: Lookup;
}

export interface Reader {
  readonly apiVersion: string;
  readonly kind: string;
  /** Puts the object into a world; undefined where it cannot be read. */
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
