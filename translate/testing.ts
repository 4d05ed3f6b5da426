/** What tests of this room share: an Envoy that stands nowhere, and variables that are always set. */
import type { Lookup } from './read/variables.ts';
import type { TranslateOptions } from './translate.ts';

export const exampleOptions: TranslateOptions = {
  envoy: {
    directory: '/run/tallygate/envoy',
    extproc: { type: 'Unix', path: '/run/tallygate/extproc.sock' },
    admin: { type: 'Tcp', host: '127.0.0.1', port: 9901 },
    listenAddress: '0.0.0.0',
    caBundle: '/etc/ssl/certs/ca-certificates.crt',
  },
};

export const exampleVariables: Lookup = {
  environment: (name) => (name === 'UNSET' ? undefined : `value-of-${name}`),
  file: (path) => (path === 'missing.txt' ? undefined : `-----BEGIN ${path}-----\n`),
};
