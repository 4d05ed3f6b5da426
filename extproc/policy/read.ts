/**
 * Reads and validates a policy as it was sent, in slices, so that a large policy does not block the
 * event loop. Parsed lines are reused from the last policy, so most objects of a new policy are the
 * same as before.
 */
import type { AccessPolicy, ApiKeyShard, SignIn } from '../../contract/access-policy.ts';
import type { ContentPolicy } from '../../contract/content.ts';
import type { GuardrailPolicy } from '../../contract/guardrails.ts';
import type { BackendPolicy, GatewayPolicy, Passthrough, Quota, Rule } from '../../contract/policy.ts';
import { checkedLine, type PolicyLine } from '../../contract/policy-schema.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { inSlices } from './slices.ts';

const LINE_END = 0x0a;

/** A policy that cannot be used, with its version as far as it could be read. */
export class PolicyError extends Error {
  readonly version: string;

  constructor(message: string, version: string) {
    super(message);
    this.version = version;
  }
}

export interface PolicyReader {
  /**
   * Throws a PolicyError for anything that this program does not fully understand. Reads one policy
   * at a time.
   */
  read(content: Buffer): Promise<GatewayPolicy>;
}

/** `pause` yields to the event loop. */
export function newPolicyReader(pause?: () => Promise<void>): PolicyReader {
  let known: ReadonlyMap<string, PolicyLine> = new Map();
  return {
    async read(content) {
      const next = new Map<string, PolicyLine>();
      const policy = await inSlices(reading(content, known, next), pause);
      known = next;
      return policy;
    },
  };
}

function* reading(
  content: Buffer,
  known: ReadonlyMap<string, PolicyLine>,
  next: Map<string, PolicyLine>,
): Generator<void, GatewayPolicy> {
  const parts = new PolicyParts();
  for (let start = 0, number = 1; start < content.length; number++) {
    const found = content.indexOf(LINE_END, start);
    const end = found < 0 ? content.length : found;
    const text = content.toString('utf8', start, end);
    let json: unknown;
    try {
      let line = next.get(text) ?? known.get(text);
      if (line === undefined) {
        json = JSON.parse(text);
        line = checkedLine(json);
      }
      next.set(text, line);
      parts.add(line);
    } catch (error) {
      const version = parts.version ?? Object(Object(json).policy).version;
      throw new PolicyError(`line ${number}: ${errorMessage(error)}`, String(version ?? ''));
    }
    start = end + 1;
    yield;
  }
  return parts.whole();
}

interface OpenVirtualHost {
  readonly routeNames: string[];
  readonly rules: Rule[];
  readonly passthrough: Passthrough[];
  readonly access: readonly string[];
  readonly signIn?: SignIn;
}

/** The lines of one policy, in their order. */
class PolicyParts {
  #head: Extract<PolicyLine, { kind: 'policy' }>['value'] | undefined;
  #lines = -1;
  readonly #backends: BackendPolicy[] = [];
  readonly #quotas: Quota[] = [];
  readonly #accessPolicies: AccessPolicy[] = [];
  readonly #apiKeyShards: ApiKeyShard[] = [];
  readonly #guardrailPolicies: GuardrailPolicy[] = [];
  readonly #contentPolicies: ContentPolicy[] = [];
  readonly #rules: Rule[] = [];
  readonly #passthrough: Passthrough[] = [];
  readonly #virtualHosts: OpenVirtualHost[] = [];

  get version(): string | undefined {
    return this.#head?.version;
  }

  add(line: PolicyLine): void {
    this.#lines++;
    if ((this.#lines === 0) !== (line.kind === 'policy')) {
      throw new Error('the line "policy" must come first, and only once');
    }
    switch (line.kind) {
      case 'policy':
        this.#head = line.value;
        return;
      case 'backend':
        this.#backends.push(line.value);
        return;
      case 'quota':
        this.#quotas.push(line.value);
        return;
      case 'accessPolicy':
        this.#accessPolicies.push(line.value);
        return;
      case 'apiKeyShard':
        this.#apiKeyShards.push(line.value);
        return;
      case 'guardrailPolicy':
        this.#guardrailPolicies.push(line.value);
        return;
      case 'contentPolicy':
        this.#contentPolicies.push(line.value);
        return;
      case 'rule':
        this.#rules.push(line.value);
        return;
      case 'passthrough':
        this.#passthrough.push(line.value);
        return;
      case 'virtualHost':
        this.#addVirtualHost(line.value);
        return;
      default:
        throw new Error(`unknown line ${(line satisfies never as PolicyLine).kind}`);
    }
  }

  whole(): GatewayPolicy {
    const head = this.#head;
    if (head === undefined) {
      throw new PolicyError('the policy is empty', '');
    }
    if (this.#lines !== head.lines) {
      throw new PolicyError(`the policy is incomplete: ${this.#lines} of ${head.lines} lines`, head.version);
    }
    return {
      formatVersion: head.formatVersion,
      version: head.version,
      virtualHosts: this.#virtualHosts,
      backends: this.#backends,
      quotas: this.#quotas,
      accessPolicies: this.#accessPolicies,
      apiKeyShards: this.#apiKeyShards,
      ...(this.#guardrailPolicies.length > 0 && { guardrailPolicies: this.#guardrailPolicies }),
      ...(this.#contentPolicies.length > 0 && { contentPolicies: this.#contentPolicies }),
    };
  }

  /** A large virtual host takes several lines, one after the other. */
  #addVirtualHost(line: Extract<PolicyLine, { kind: 'virtualHost' }>['value']): void {
    const { virtualHost: number, access, signIn } = line;
    if (number === this.#virtualHosts.length) {
      if (access === undefined) {
        throw new Error(`virtual host ${number} does not say which access policies apply`);
      }
      const opened = { routeNames: [], rules: [], passthrough: [], access };
      this.#virtualHosts.push(signIn === undefined ? opened : { ...opened, signIn });
    }
    const virtualHost = this.#virtualHosts[number];
    if (virtualHost === undefined || number !== this.#virtualHosts.length - 1) {
      throw new Error(`virtual host ${number} is out of order`);
    }
    virtualHost.routeNames.push(...line.routeNames);
    for (const place of line.rules) {
      virtualHost.rules.push(at(this.#rules, place));
    }
    for (const place of line.passthrough) {
      virtualHost.passthrough.push(at(this.#passthrough, place));
    }
  }
}

function at<Item>(items: readonly Item[], place: number): Item {
  const item = items[place];
  if (item === undefined) {
    throw new Error(`item ${place} is not defined before this line`);
  }
  return item;
}
