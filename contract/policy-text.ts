/**
 * Serializes a policy as JSON lines, so that a data plane can read it in slices. Each rule is
 * written once, however many host names it serves. `policy-schema.ts` defines the lines.
 */
import type { GatewayPolicy, Passthrough, Rule, VirtualHost } from './policy.ts';

/** Per line; bounds a single JSON parse to some tens of KB. */
const ROUTE_NAMES_OF_LINE = 128;
/** Indexes of rules or passthrough per line. */
const INDEXES_OF_LINE = 4096;

/** JSON of objects that occur several times, or in several versions of a policy. */
const texts = new WeakMap<object, string>();

/** Returns the JSON of a part of a policy. The part must not change afterwards. */
export function jsonOf(part: object): string {
  const known = texts.get(part) ?? JSON.stringify(part);
  texts.set(part, known);
  return known;
}

/** Returns the whole text of a policy. */
export function policyText(policy: GatewayPolicy): Buffer {
  const lines = policyLines(policy);
  const head = { formatVersion: policy.formatVersion, version: policy.version, lines: lines.length };
  return Buffer.from([`{"policy":${JSON.stringify(head)}}`, ...lines].join('\n'));
}

/** Returns all lines except the first, which has the version. */
export function policyLines({
  virtualHosts,
  backends,
  quotas,
  accessPolicies,
  apiKeyShards,
  guardrailPolicies = [],
  contentPolicies = [],
}: Omit<GatewayPolicy, 'formatVersion' | 'version'>): readonly string[] {
  const rules = new Numbers<Rule>('rule');
  const passthrough = new Numbers<Passthrough>('passthrough');
  const virtualHostLines = virtualHosts.flatMap((virtualHost, index) =>
    linesOf(virtualHost, index, rules, passthrough),
  );
  return [
    ...backends.map((each) => `{"backend":${jsonOf(each)}}`),
    ...quotas.map((each) => `{"quota":${jsonOf(each)}}`),
    ...accessPolicies.map((each) => `{"accessPolicy":${jsonOf(each)}}`),
    ...apiKeyShards.map((each) => `{"apiKeyShard":${jsonOf(each)}}`),
    ...guardrailPolicies.map((each) => `{"guardrailPolicy":${jsonOf(each)}}`),
    ...contentPolicies.map((each) => `{"contentPolicy":${jsonOf(each)}}`),
    ...rules.lines,
    ...passthrough.lines,
    ...virtualHostLines,
  ];
}

function linesOf(
  { routeNames, rules, passthrough, access, signIn }: VirtualHost,
  index: number,
  allRules: Numbers<Rule>,
  allPassthrough: Numbers<Passthrough>,
): readonly string[] {
  const [ruleNumbers, passthroughNumbers] = [rules.map(allRules.of), passthrough.map(allPassthrough.of)];
  const parts = Math.max(
    1,
    Math.ceil(routeNames.length / ROUTE_NAMES_OF_LINE),
    Math.ceil(rules.length / INDEXES_OF_LINE),
    Math.ceil(passthrough.length / INDEXES_OF_LINE),
  );
  return Array.from({ length: parts }, (_, part) => {
    const slice = <Item>(items: readonly Item[], size: number) => items.slice(part * size, (part + 1) * size);
    const made = {
      virtualHost: index,
      routeNames: slice(routeNames, ROUTE_NAMES_OF_LINE),
      rules: slice(ruleNumbers, INDEXES_OF_LINE),
      passthrough: slice(passthroughNumbers, INDEXES_OF_LINE),
      ...(part === 0 && { access, ...(signIn !== undefined && { signIn }) }),
    };
    return `{"virtualHost":${JSON.stringify(made)}}`;
  });
}

/** Numbers items in the order of first use; items with equal JSON share a number. */
class Numbers<Item extends object> {
  readonly lines: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #kind: string;

  constructor(kind: string) {
    this.#kind = kind;
  }

  readonly of = (item: Item): number => {
    const text = jsonOf(item);
    const known = this.#numbers.get(text) ?? this.lines.push(`{"${this.#kind}":${text}}`) - 1;
    this.#numbers.set(text, known);
    return known;
  };
}
