/**
 * The conditions of overrides, over the key of a quota and nothing else: a bucket has one key, and
 * therefore one amount at any time.
 */
import type { Environment } from '@marcbachmann/cel-js';
import { type ConditionFault, compileCondition, faultOfCondition, newEnvironment } from './condition.ts';
import type { KeyPart } from './policy.ts';

/** Compiles the conditions over one key. */
export class KeyConditions {
  readonly #key: readonly KeyPart[];
  readonly #environment: Environment;

  constructor(key: readonly KeyPart[]) {
    this.#key = key;
    this.#environment = newEnvironment();
    for (const part of key) {
      if (part.type !== 'Header' && part.type !== 'Claim') {
        this.#environment.registerVariable({ name: variables[part.type], type: 'string' });
      }
    }
    for (const [name, type] of [
      ['headers', 'Header'],
      ['claims', 'Claim'],
    ] as const) {
      const names = key.filter((part) => part.type === type).map(nameOf);
      if (names.length > 0) {
        const schema = Object.fromEntries(names.map((each) => [each, 'string']));
        this.#environment.registerVariable({ name, schema });
      }
    }
  }

  /** Returns the fault of a condition, or undefined if the condition is usable. */
  fault(text: string): ConditionFault | undefined {
    const parts = this.#key.map(shownPart).join(', ');
    const fix = parts === '' ? 'add a `key`, and use CEL over its parts' : `use CEL over the key: ${parts}`;
    return faultOfCondition(text, this.#environment, fix);
  }

  /** Returns the estimated steps of a condition. Throws if it has a fault. */
  steps(text: string): number {
    return compileCondition(text, this.#environment).steps;
  }

  /** Returns a predicate over the values of the key. Throws if the condition has a fault. */
  matcher(text: string): (values: readonly string[]) => boolean {
    const { evaluate } = compileCondition(text, this.#environment);
    return (values) => {
      const { headers, claims, context } = { headers: {}, claims: {}, context: {} } as Record<string, Facts>;
      this.#key.forEach((part, place) => {
        const facts = part.type === 'Header' ? headers : part.type === 'Claim' ? claims : context;
        facts![nameOf(part)] = values[place]!;
      });
      try {
        return evaluate({ ...context, headers, claims }) === true;
      } catch {
        return false;
      }
    };
  }
}

type Facts = Record<string, string>;

const variables = {
  Model: 'model',
  Route: 'route',
  Tenant: 'tenant',
  User: 'user',
  Group: 'group',
  APIKey: 'apiKey',
} as const;

/** Returns the name of a variable, header or claim. */
function nameOf(part: KeyPart): string {
  switch (part.type) {
    case 'Header':
      return part.name;
    case 'Claim':
      return part.claim;
    default:
      return variables[part.type];
  }
}

function shownPart(part: KeyPart): string {
  switch (part.type) {
    case 'Header':
      return `headers[${JSON.stringify(part.name)}]`;
    case 'Claim':
      return `claims[${JSON.stringify(part.claim)}]`;
    default:
      return variables[part.type];
  }
}
