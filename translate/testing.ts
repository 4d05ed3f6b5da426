/** Shared by tests: options of an Envoy that does not exist, variables, and generated mistakes. */
import fc from 'fast-check';
import { isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import { type WantedToken, wantedTokenId } from '../contract/cloud-tokens.ts';
import type { Lookup } from './read/variables.ts';
import type { TranslateOptions } from './translate.ts';
import { secretText, type World } from './world.ts';

export const exampleOptions: TranslateOptions = {
  routeSecret: 'of the examples',
  envoy: {
    directory: '/run/tallygate/envoy',
    extproc: { type: 'Unix', path: '/run/tallygate/extproc.sock' },
    admin: { type: 'Tcp', host: '127.0.0.1', port: 9901 },
    listenAddress: '0.0.0.0',
    caBundle: '/etc/ssl/certs/ca-certificates.crt',
  },
};

/** The issuer https://id.example.org, as it was fetched. */
export const exampleJwks: World['jwks'] = new Map([
  [
    'https://id.example.org/.well-known/openid-configuration of https://id.example.org',
    {
      keys: [{ kty: 'OKP', kid: 'a', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }],
      endpoints: {
        authorization: 'https://id.example.org/authorize',
        token: 'https://id.example.org/token',
        endSession: 'https://id.example.org/logout',
      },
    },
  ],
]);

/** The tokens of backends, whose state the end of the backend's name says. */
export function exampleTokens(wanted: readonly WantedToken[]): World['tokens'] {
  const failure = 'login.example.com answers with status 503';
  return new Map(
    wanted
      .filter(({ backend }) => !backend.endsWith('-waiting'))
      .map((each) => [
        wantedTokenId(each),
        {
          ...(!each.backend.endsWith('-failing') && { token: secretText(`token of ${each.backend}`) }),
          ...(/-(failing|renewing)$/.test(each.backend) && { failure }),
        },
      ]),
  );
}

export const exampleVariables: Lookup = {
  environment: (name) => (name === 'UNSET' ? undefined : `value-of-${name}`),
  file: (path) => (path === 'missing.txt' ? undefined : `-----BEGIN ${path}-----\n`),
};

/** Values that a user might write into any field by mistake. */
export const mistake = fc.oneof(
  fc.constantFrom(
    null,
    true,
    -1,
    0,
    1.5,
    1e300,
    '',
    '*',
    '..',
    '__proto__',
    [],
    {},
    [[]],
    'a'.repeat(300),
    '(',
    '$',
    '0s',
  ),
  fc.string({ maxLength: 12 }),
  fc.integer(),
);

/** Replaces one value of a file, chosen by `seed`. */
export function spoilt(text: string, seed: number, wrong: unknown): string {
  const documents = parseAllDocuments(text);
  const nodes = documents.flatMap((document) => places(document.contents));
  nodes[seed % nodes.length]?.(wrong);
  return documents.map((document) => document.toString()).join('---\n');
}

/** Returns a setter for each member and element of a document. */
function places(node: unknown): readonly ((value: unknown) => void)[] {
  if (isMap(node)) {
    return node.items.flatMap((pair) => [
      (value: unknown) => {
        pair.value = value;
      },
      ...places(pair.value),
    ]);
  }
  if (isSeq(node)) {
    return node.items.flatMap((item, index) => [(value: unknown) => node.set(index, value), ...places(item)]);
  }
  return isScalar(node) ? [] : [];
}
