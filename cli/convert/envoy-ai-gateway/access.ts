/** SecurityPolicies of Envoy Gateway become AIAccessPolicies, as far as they say who may call. */
import { API_KEY_ANNOTATIONS, API_KEY_FIELD, API_KEY_LABEL } from '../../../contract/api-key.ts';
import { accessPolicySpec } from '../../../crds/access-policy.ts';
import { ObjectDraft } from '../draft.ts';
import { UniqueLabels, variableOf } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import { type ForeignResource, type ForeignResources, targetsOf } from './resources.ts';
import type { ConvertedRoute } from './routes.ts';
import { secretReference } from './secrets.ts';
import type { ClaimHeaders } from './selectors.ts';

const MAX_AUTHENTICATORS = 8;

interface AccessInput {
  readonly resources: ForeignResources;
  readonly routes: readonly ConvertedRoute[];
}

/** The headers into which SecurityPolicies copy claims. */
export function claimHeaders(resources: ForeignResources): ClaimHeaders {
  const copies = resources
    .of('SecurityPolicy')
    .flatMap(({ field }) => field.at('spec', 'jwt', 'providers')?.items ?? [])
    .flatMap((provider) => provider.at('claimToHeaders')?.items ?? []);
  return new Map(
    copies.flatMap((each) => {
      const [header, claim] = [each.at('header')?.text, each.at('claim')?.text];
      return header === undefined || claim === undefined ? [] : [[header.toLowerCase(), claim] as const];
    }),
  );
}

export function foreignAccess(input: AccessInput): readonly ObjectDraft[] {
  return input.resources.of('SecurityPolicy').flatMap((policy) => accessOf(policy, input));
}

const others: Readonly<Record<string, readonly [why: string, fix: string]>> = {
  extAuth: ['Tallygate asks no authorization service', 'use keys, tokens or certificates, and CEL conditions'],
  basicAuth: ['Tallygate knows no passwords', 'create keys with tallygate key create'],
  oidc: ['the cookie of a session differs', 'add an authenticator of type OIDC (docs/guides/signing-in.md)'],
  cors: ['the setting is part of a route', 'set cors of the AIGatewayRoute'],
  contextExtensions: ['Tallygate asks no authorization service', 'remove it'],
};

function accessOf(policy: ForeignResource, input: AccessInput): readonly ObjectDraft[] {
  const { field, namespace, name } = policy;
  const spec = field.at('spec');
  for (const [member, [why, fix]] of Object.entries(others)) {
    spec?.at(member)?.hasNoEqual(why, fix);
  }
  const targetRefs = targetsOf(policy).flatMap((target) => targetRef(target, policy, input));
  const labels = new UniqueLabels();
  const providers = spec?.at('jwt', 'providers')?.items ?? [];
  const tokens = providers.flatMap((provider) => jwt(provider, labels) ?? []).slice(0, MAX_AUTHENTICATORS - 1);
  const keys = spec?.at('apiKeyAuth');
  const secrets = keys === undefined ? [] : keySecrets(keys, policy, input.resources);
  const matchLabels = { [API_KEY_LABEL]: 'true' };
  const stated = [
    ...tokens.map((each) => each.authenticator),
    ...(keys === undefined
      ? []
      : [{ name: labels.next('keys'), type: 'APIKey', apiKey: { secretSelector: { matchLabels } } }]),
  ];
  // Without a valid way to authenticate, the policy allows nobody.
  const isValid = accessPolicySpec.safeParse({ targetRefs, authenticate: stated }).success;
  const authenticate = isValid ? stated : [];
  const authorization = spec?.at('authorization');
  const asks = ['jwt', 'apiKeyAuth', 'extAuth', 'basicAuth', 'oidc', 'authorization'].some((each) => spec?.at(each));
  if (!asks || targetRefs.length === 0) {
    return [];
  }
  const isOpen = authenticate.length > 0 && authorization === undefined;
  const allow = isOpen ? [{ name: 'everyone', principals: [{ authenticated: true }] }] : [];
  const object = { targetRefs, ...(authenticate.length > 0 && { authenticate }), allow };
  const draft = new ObjectDraft({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name, namespace },
    spec: object,
  });
  if (!isValid && targetRefs.length > 0) {
    field.hasNoEqual('issuer or audiences of its tokens are not valid', 'correct them, or write an AIAccessPolicy');
  }
  if (authenticate.length === 0) {
    draft.comment(draft.place(object, 'allow'), 'No way to authenticate could be converted, so nobody is allowed.');
  }
  if (tokens.length > 0 && keys !== undefined) {
    keys.differs(
      draft.place(object, 'authenticate'),
      'One way to authenticate is enough; the source demands all of them.',
    );
  }
  authorization?.differs(
    draft.place(object, 'allow'),
    'Its rules are not converted, so nobody is allowed: write allow rules.',
  );
  for (const target of targetsOf(policy)) {
    if (target.verdicts.length === 0) {
      target.becomes(draft.place(object, 'targetRefs'));
    }
  }
  for (const { authenticator, field: provider } of tokens) {
    reportProvider(provider, draft, authenticator);
  }
  keys?.at('credentialRefs')?.becomes(draft.place(object, 'authenticate'));
  keys
    ?.at('extractFrom')
    ?.differs(draft.place(object, 'authenticate'), 'Keys are in authorization, x-api-key, api-key or x-goog-api-key.');
  keys?.at('sanitize')?.isNotNeeded('a provider never gets keys of the gateway');
  return [draft, ...secrets];
}

function targetRef(target: SourceField, policy: ForeignResource, { routes }: AccessInput): readonly object[] {
  const name = target.at('name')?.text;
  if (target.at('kind')?.text === 'Gateway') {
    const section = target.at('sectionName')?.text;
    return [
      {
        group: 'gateway.networking.k8s.io',
        kind: 'Gateway',
        name,
        ...(section !== undefined && { sectionName: section }),
      },
    ];
  }
  if (routes.some((each) => each.name === name && each.namespace === policy.namespace)) {
    return [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name }];
  }
  target.hasNoEqual('no AIGatewayRoute of the files makes this HTTPRoute', 'target a route or a Gateway');
  return [];
}

interface TokenAuthenticator {
  readonly field: SourceField;
  readonly authenticator: { readonly name: string; readonly type: 'JWT'; readonly jwt: object };
}

const userClaims = ['sub', 'email', 'preferred_username'];

function jwt(provider: SourceField, labels: UniqueLabels): TokenAuthenticator | undefined {
  const [issuer, uri] = [provider.at('issuer')?.text, provider.at('remoteJWKS', 'uri')?.text];
  const inline = provider.at('localJWKS', 'inline')?.text;
  const audiences = provider.at('audiences')?.texts ?? [];
  if (issuer === undefined || audiences.length === 0) {
    const why = 'a token must name its issuer and an audience';
    provider.hasNoEqual(why, 'add an authenticator of type JWT with both');
    return undefined;
  }
  const copied = (provider.at('claimToHeaders')?.items ?? []).map((each) => each.at('claim')?.text ?? '');
  const claim = copied.find((each) => userClaims.includes(each)) ?? 'sub';
  const jwks =
    uri !== undefined
      ? { type: 'URI', uri }
      : inline !== undefined
        ? { type: 'Inline', inline }
        : { type: 'Discovery' };
  const of = { issuer, audiences, jwks, identity: { user: { claim } } };
  return {
    field: provider,
    authenticator: { name: labels.next(provider.at('name')?.text ?? 'tokens'), type: 'JWT', jwt: of },
  };
}

function reportProvider(
  provider: SourceField,
  draft: ObjectDraft,
  authenticator: TokenAuthenticator['authenticator'],
): void {
  const place = draft.place(authenticator, 'jwt');
  for (const name of ['name', 'issuer', 'audiences']) {
    provider.at(name)?.becomes(place);
  }
  provider.at('remoteJWKS', 'uri')?.becomes(place);
  provider.at('remoteJWKS', 'cacheDuration')?.isNotNeeded('the keys of issuers are kept fresh');
  provider.at('localJWKS')?.becomes(place);
  provider
    .at('claimToHeaders')
    ?.differs(place, 'No header is written: quotas have the claim itself as their key, and identity names the user.');
  provider.at('extractFrom')?.differs(place, 'Tokens are in authorization, x-api-key, api-key or x-goog-api-key.');
  provider.at('recomputeRoute')?.isNotNeeded('Tallygate routes after it knows the caller');
}

/** One Secret for each client of `apiKeyAuth`; the values become variables. */
function keySecrets(keys: SourceField, policy: ForeignResource, resources: ForeignResources): readonly ObjectDraft[] {
  const labels = new UniqueLabels();
  return (keys.at('credentialRefs')?.items ?? []).flatMap((reference) => {
    const of = secretReference(reference, policy.namespace);
    const data = of && resources.find('Secret', of.namespace, of.name)?.field;
    const clients = [...(data?.at('stringData')?.members ?? []), ...(data?.at('data')?.members ?? [])];
    if (clients.length === 0) {
      reference.hasNoEqual('the Secret is not in the files', 'create its keys with tallygate key create');
    }
    return clients.map(([client, value]) => {
      const draft = new ObjectDraft({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: {
          name: labels.next(`key-${client}`),
          namespace: policy.namespace,
          labels: { [API_KEY_LABEL]: 'true' },
          annotations: { [API_KEY_ANNOTATIONS.user]: client.slice(0, 256) },
        },
        stringData: { [API_KEY_FIELD]: `\${${variableOf(`${of?.name ?? 'key'}_${client}`)}}` },
      });
      value.differs(
        draft.place(draft.object.stringData ?? draft.object, API_KEY_FIELD),
        'The value is not copied: set the variable, or create the key with tallygate key create.',
      );
      return draft;
    });
  });
}
