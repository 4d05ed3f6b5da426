/** The names under which replicas tell each other what rests. */
import { type RestCause, restCauses } from '../../contract/backend-rest.ts';

/** What rests: a whole backend, one of its models, or a target. */
export type RestPlace =
  | { readonly type: 'Backend'; readonly backend: string }
  | { readonly type: 'Model'; readonly backend: string; readonly model: string }
  | { readonly type: 'Target'; readonly name: string };

/** Longer ones are not shared: names of objects and models are shorter. */
const MAX_NAME_CHARACTERS = 2_048;

/**
 * Returns the name of a target in every installation: its id without the part that cannot be
 * guessed, which does not leave the process.
 */
export function targetName(id: string): string {
  return id.slice(0, Math.max(0, id.lastIndexOf('/')));
}

/** Returns undefined where the name would be too long. */
export function restName(place: RestPlace, cause: RestCause): string | undefined {
  const name = JSON.stringify([place.type, cause, ...partsOf(place)]);
  return name.length > MAX_NAME_CHARACTERS ? undefined : name;
}

function partsOf(place: RestPlace): readonly string[] {
  switch (place.type) {
    case 'Backend':
      return [place.backend];
    case 'Model':
      return [place.backend, place.model];
    case 'Target':
      return [place.name];
    default:
      return place satisfies never;
  }
}

/** Returns undefined for a name that this version does not know. */
export function readRestName(name: string): { readonly place: RestPlace; readonly cause: RestCause } | undefined {
  const [type, cause, first, second] = textsOf(name);
  const known = restCauses.find((each) => each === cause);
  if (known === undefined || !first) {
    return undefined;
  }
  switch (type) {
    case 'Backend':
      return { place: { type, backend: first }, cause: known };
    case 'Model':
      return second ? { place: { type, backend: first, model: second }, cause: known } : undefined;
    case 'Target':
      return { place: { type, name: first }, cause: known };
    default:
      return undefined;
  }
}

function textsOf(name: string): readonly string[] {
  try {
    const parts: unknown = name.length > MAX_NAME_CHARACTERS ? undefined : JSON.parse(name);
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : [];
  } catch {
    return [];
  }
}
