/** Who looks at a console, and which rows a viewer may see. */

/** To whom a row belongs, as an access policy has proven it. */
export interface Owner {
  readonly tenant?: string;
  readonly user?: string;
  /** `NAMESPACE/SECRET` of an API key. */
  readonly key?: string;
}

export interface Viewer extends Owner {
  /** Sees everything, and may stop requests. */
  readonly operator: boolean;
}

/**
 * Whether a row belongs to the tenant of the viewer. A viewer whose credential names no tenant sees
 * what the same user or API key did without one.
 */
export function isVisible(row: Owner, viewer: Viewer): boolean {
  if (viewer.operator) {
    return true;
  }
  if (viewer.tenant !== undefined) {
    return row.tenant === viewer.tenant;
  }
  return row.tenant === undefined && (isSame(row.user, viewer.user) || isSame(row.key, viewer.key));
}

interface BudgetKey {
  readonly key: readonly string[];
  readonly keyNames: readonly string[];
}

/**
 * Whether the requests of the viewer draw on a budget, which the key proves. Other budgets belong
 * to nobody, or to whoever sends a header.
 */
export function isVisibleBudget({ key, keyNames }: BudgetKey, viewer: Viewer): boolean {
  if (viewer.operator) {
    return true;
  }
  const proven = { Tenant: viewer.tenant, User: viewer.user, APIKey: viewer.key };
  for (const [name, value] of Object.entries(proven)) {
    const place = keyNames.indexOf(name);
    if (place !== -1) {
      return isSame(key[place], value);
    }
  }
  return false;
}

function isSame(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && one === other;
}

/** An operator has all the members. */
export interface OperatorMatch extends Owner {
  readonly group?: string;
}

/** Whether a caller is one of the operators. */
export function isOperator(caller: Owner & { readonly groups: readonly string[] }, among: readonly OperatorMatch[]) {
  return among.some(
    ({ tenant, user, key, group }) =>
      (tenant === undefined || tenant === caller.tenant) &&
      (user === undefined || user === caller.user) &&
      (key === undefined || key === caller.key) &&
      (group === undefined || caller.groups.includes(group)),
  );
}

const memberNames: readonly string[] = ['tenant', 'user', 'key', 'group'];

/**
 * Reads operators such as `group=platform,tenant=ops&user=ada`, with percent-encoded values.
 * Returns undefined for another form.
 */
export function parseOperators(text: string): readonly OperatorMatch[] | undefined {
  const operators: OperatorMatch[] = [];
  for (const entry of text.split(',').filter((each) => each.trim() !== '')) {
    const members = [...new URLSearchParams(entry.trim())];
    const isKnown = members.length > 0 && members.every(([name, value]) => memberNames.includes(name) && value !== '');
    if (!isKnown) {
      return undefined;
    }
    operators.push(Object.fromEntries(members));
  }
  return operators;
}

/** Returns the text that `parseOperators` reads. */
export function operatorsText(operators: readonly OperatorMatch[]): string {
  return operators.map((each) => new URLSearchParams({ ...each }).toString()).join(',');
}
