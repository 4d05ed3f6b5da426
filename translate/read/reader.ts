/** The interface of a reader, which validates one document and adds its object to a world. */
import type { Metadata } from '../../crds/kinds.ts';
import type { ProblemFields } from '../problem.ts';
import type { World } from '../world.ts';
import type { YamlDocument } from './documents.ts';
import type { Lookup } from './variables.ts';

/** A world under construction. */
export type Draft = { readonly [List in keyof Omit<World, 'jwks' | 'tokens'>]: World[List][number][] };

export function emptyDraft(): Draft {
  return {
    gateways: [],
    routes: [],
    backends: [],
    quotaPolicies: [],
    accessPolicies: [],
    guardrailPolicies: [],
    contentPolicies: [],
    secrets: [],
    apiKeySecrets: [],
    configMaps: [],
    referenceGrants: [],
    refused: [],
  };
}

/** The input of a reader; `problem` collects the faults of the document. */
export interface ReaderInput {
  readonly document: YamlDocument;
  readonly metadata: Metadata;
  readonly problem: (found: ProblemFields) => void;
  readonly lookup: Lookup;
}

export interface ObjectReader {
  readonly apiVersion: string;
  readonly kind: string;
  /**
   * Returns a function that adds the object to a world, or undefined if the object is not valid.
   */
  read(input: ReaderInput): ((world: Draft) => void) | undefined;
}
