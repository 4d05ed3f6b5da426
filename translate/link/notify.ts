/** Compiles `notify` of quota policies: where alerts about budgets are sent. */
import { type Condition, condition, type ReasonOf } from '../../crds/conditions.ts';
import type { AIQuotaPolicy } from '../../crds/kinds.ts';
import { GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { fullName } from '../object-names.ts';
import type { Webhook } from '../plan.ts';
import { firstWithReason, type ProblemFields, problemSentence } from '../problem.ts';
import { notFound, referenceGrantHint } from '../resource-index.ts';
import { type Located, type SecretText, secretText } from '../world.ts';
import { destinationFault } from './destination-fault.ts';

type NotifySpec = NonNullable<AIQuotaPolicy['spec']['notify']>[number];
type WebhookSpec = NonNullable<NotifySpec['webhook']>;

/**
 * Returns the webhooks of a policy. One with a fault is left out and reported; the quotas apply all
 * the same.
 */
export function webhooksOf(policy: Located<AIQuotaPolicy>, context: TranslationContext): readonly Webhook[] {
  return (policy.spec.notify ?? []).flatMap(({ webhook }, index) =>
    webhook === undefined ? [] : (compileWebhook(webhook, `spec.notify[${index}].webhook`, policy, context) ?? []),
  );
}

function compileWebhook(
  { url, secretRef }: WebhookSpec,
  path: string,
  policy: Located<AIQuotaPolicy>,
  context: TranslationContext,
): Webhook | undefined {
  const refuse = (problem: ProblemFields): undefined => {
    context.diagnostics.error(subject('AIQuotaPolicy', policy), problem);
    return undefined;
  };
  const user = {
    kind: 'AIQuotaPolicy',
    namespace: policy.metadata.namespace,
    example: 'https://hooks.example.com/budgets',
    owner: "the receiver's",
    risk: 'read the alerts',
  } as const;
  const fault = destinationFault(url, user, context);
  if (fault !== undefined) {
    return refuse({ reason: 'DestinationNotAllowed', path: `${path}.url`, ...fault });
  }
  const secret = signingSecret(secretRef, `${path}.secretRef`, policy, context, refuse);
  return secret && { policy: fullName(policy), url, secret };
}

function signingSecret(
  { namespace, name, key }: WebhookSpec['secretRef'],
  path: string,
  policy: AIQuotaPolicy,
  { resources }: TranslationContext,
  refuse: (problem: ProblemFields) => undefined,
): SecretText | undefined {
  const from = { group: GROUP, kind: 'AIQuotaPolicy', namespace: policy.metadata.namespace };
  const to = { group: '', kind: 'Secret', namespace: namespace ?? from.namespace, name };
  const what = `Secret ${to.namespace}/${name}`;
  if (!resources.permits(from, to)) {
    const message = `${what} is in another namespace and not permitted by a ReferenceGrant there`;
    return refuse({ reason: 'RefNotPermitted', path, message, fix: referenceGrantHint(from, to) });
  }
  const secret = resources.secret(to.namespace, name);
  if (secret === undefined) {
    const found = notFound(resources, 'Secret', to.namespace, name);
    return refuse({ reason: 'SecretNotFound', path: `${path}.name`, ...found });
  }
  // Files and `echo` often add a line break.
  const text = secret.data.get(key)?.reveal().trim();
  if (text === undefined) {
    const fix = `set ${key} in the Secret, or correct secretRef.key`;
    return refuse({ reason: 'InvalidSecret', path: `${path}.key`, message: `${what} has no key ${key}`, fix });
  }
  if (!isSigningSecret(text)) {
    const message = `the value of key ${key} in ${what} is not a signing secret of Standard Webhooks`;
    const fix =
      'store whsec_ and the base64 of 24 to 64 random bytes, as `echo whsec_$(openssl rand -base64 24)` prints';
    return refuse({ reason: 'InvalidSecret', path: `${path}.key`, message, fix });
  }
  return secretText(text);
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
export function isSigningSecret(text: string): boolean {
  const [, encoded = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  return bytes.length >= 24 && bytes.length <= 64 && bytes.toString('base64') === encoded;
}

const notifyReasons = [
  'DestinationNotAllowed',
  'RefNotPermitted',
  'SecretNotFound',
  'InvalidSecret',
] as const satisfies readonly ReasonOf<'ResolvedRefs'>[];

/** Returns whether all that `notify` names is usable; nothing without `notify`. */
export function notifyConditions(policy: AIQuotaPolicy, { diagnostics }: TranslationContext): readonly Condition[] {
  if (policy.spec.notify === undefined) {
    return [];
  }
  const { generation } = policy.metadata;
  const found = firstWithReason(diagnostics.of(subject('AIQuotaPolicy', policy).ref), notifyReasons);
  return [
    found === undefined
      ? condition('ResolvedRefs', 'ResolvedRefs', '', generation)
      : condition('ResolvedRefs', found.reason, problemSentence(found.problem), generation),
  ];
}
