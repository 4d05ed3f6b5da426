/** Generates the CustomResourceDefinition of a kind from its schema. */
import { z } from 'zod';
import type { KindDefinition } from './kinds.ts';
import { GROUP, VERSION } from './schema.ts';
import { statusSchema } from './status.ts';

export interface JsonSchema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  /** Of a map. */
  readonly additionalProperties?: JsonSchema;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set';
}

/**
 * Converts a schema to the subset that the API server accepts: no `$ref` and no
 * `oneOf`.
 */
export function jsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    override({ jsonSchema: converted }) {
      if (converted['x-kubernetes-int-or-string'] === true) {
        delete converted.anyOf;
      }
    },
  }) as JsonSchema;
}

export function customResourceDefinition(definition: KindDefinition): object {
  const { kind, plural, shortName, spec, status } = definition;
  const text = (description: string): JsonSchema => ({ type: 'string', description });
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${GROUP}`,
      // GEP-713: tools find policies by this label.
      ...(status === 'ancestors' && { labels: { 'gateway.networking.k8s.io/policy': 'Inherited' } }),
    },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['tallygate'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: 'Accepted', type: 'string', jsonPath: acceptedPath[status] },
            ...(kind === 'AIBackend' ? healthColumns : []),
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: jsonSchema(spec).description,
              required: ['spec'],
              properties: {
                apiVersion: text(`${GROUP}/${VERSION}`),
                kind: text(kind),
                metadata: { type: 'object' },
                spec: jsonSchema(spec),
                status: jsonSchema(statusSchema(definition)),
              },
            },
          },
        },
      ],
    },
  };
}

/** `kubectl get -o wide` shows the message, too. */
const healthColumns = [
  { name: 'Healthy', type: 'string', jsonPath: '.status.conditions[?(@.type=="Healthy")].status' },
  { name: 'Health', type: 'string', priority: 1, jsonPath: '.status.conditions[?(@.type=="Healthy")].message' },
] as const;

const accepted = 'conditions[?(@.type=="Accepted")].status';

const acceptedPath = {
  conditions: `.status.${accepted}`,
  parents: `.status.parents[*].${accepted}`,
  ancestors: `.status.ancestors[*].${accepted}`,
} as const;
