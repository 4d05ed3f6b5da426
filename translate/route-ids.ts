/**
 * Ids of targets: what extproc sets as `x-tallygate-route`, and Envoy matches. A client that reaches
 * an Envoy whose filter is missing must not be able to address a provider by a name that it can guess.
 */
import { createHmac } from 'node:crypto';

/** Base64url characters of 132 bits. */
const UNGUESSABLE_CHARACTERS = 22;

/** Makes ids from names. The same secret gives the same ids, so a restart changes no route. */
export type TargetIds = (name: string) => string;

export function targetIds(secret: string): TargetIds {
  return (name) => {
    const digest = createHmac('sha256', secret).update(name).digest('base64url');
    return `${name}/${digest.slice(0, UNGUESSABLE_CHARACTERS)}`;
  };
}
