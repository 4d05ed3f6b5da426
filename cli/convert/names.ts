/** Names of objects in the output. */

const MAX_NAME_CHARACTERS = 60;

/** Makes a DNS label of any text. */
export function labelOf(text: string): string {
  const label = text
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_NAME_CHARACTERS)
    .replaceAll(/^-+|-+$/g, '');
  return label === '' ? 'unnamed' : label;
}

/** The name of an environment variable for any text. */
export function variableOf(text: string): string {
  const name = labelOf(text).replaceAll('-', '_').toUpperCase();
  return /^[0-9]/.test(name) ? `_${name}` : name;
}

/** Gives each text a DNS label of its own. */
export class UniqueLabels {
  readonly #used = new Set<string>();

  next(text: string): string {
    const base = labelOf(text);
    let label = base;
    for (let count = 2; this.#used.has(label); count++) {
      label = `${base.slice(0, MAX_NAME_CHARACTERS - 6)}-${count}`;
    }
    this.#used.add(label);
    return label;
  }
}
