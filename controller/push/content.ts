/** The policy as it is sent: JSON in which each rule, backend and quota stands on a line of its own, so that a sidecar can read it in pieces. */
import type { GatewayPolicy } from '../../contract/policy.ts';

export function policyContent({ entries, backends, quotas, ...head }: GatewayPolicy): Buffer {
  const entryTexts = entries.map(({ rules, passthrough, ...more }) =>
    object({ ...texts(more), rules: lines(rules), passthrough: lines(passthrough) }),
  );
  const text = object({
    ...texts(head),
    entries: `[${entryTexts.join()}]`,
    backends: lines(backends),
    quotas: lines(quotas),
  });
  return Buffer.from(text);
}

type Texts = Readonly<Record<string, string>>;

function texts(members: object): Texts {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [name, JSON.stringify(value)]));
}

function object(members: Texts): string {
  return `{${Object.entries(members)
    .map(([name, text]) => `${JSON.stringify(name)}:${text}`)
    .join()}}`;
}

function lines(items: readonly object[]): string {
  return items.length === 0 ? '[]' : `[\n${items.map((each) => JSON.stringify(each)).join(',\n')}\n]`;
}
