/**
 * Ids of targets: the values of `x-tallygate-route` that extproc sets and Envoy matches. They
 * cannot be guessed, so that a client of an Envoy without the filter cannot address a provider
 * directly.
 */
import { createHmac } from 'node:crypto';

/** Base64url characters of 132 bits. */
const UNGUESSABLE_CHARACTERS = 22;

/** Derives ids from names. The same secret gives the same ids, so a restart changes no route. */
export type TargetIds = (name: string) => string;

export function targetIds(secret: string): TargetIds {
  return (name) => {
    const digest = createHmac('sha256', secret).update(name).digest('base64url');
    return `${name}/${digest.slice(0, UNGUESSABLE_CHARACTERS)}`;
  };
}
