/** The rooms of the repository, which docs/architecture.md describes. */

export type Rooms = Readonly<Record<string, readonly string[]>>;

const belowCli = [
  'contract',
  'crds',
  'runtime',
  'protos',
  'jwks',
  'notify',
  'cloud',
  'translate',
  'extproc',
  'console',
  'standalone',
  'controller',
];

/** The rooms, lowest first, with the other rooms that each may import. */
export const rooms = {
  contract: [],
  crds: [],
  runtime: [],
  protos: [],
  jwks: ['contract', 'runtime'],
  notify: ['contract', 'runtime'],
  cloud: ['contract', 'runtime'],
  translate: ['contract', 'crds'],
  extproc: ['contract', 'runtime', 'protos'],
  console: ['contract', 'runtime', 'extproc'],
  standalone: ['contract', 'crds', 'translate', 'runtime', 'protos', 'jwks', 'notify', 'cloud', 'extproc', 'console'],
  controller: ['contract', 'crds', 'translate', 'runtime', 'protos', 'jwks', 'notify', 'cloud', 'console'],
  cli: belowCli,
  tools: ['contract', 'crds', 'translate', 'runtime', 'protos', 'extproc', 'cli'],
  fixtures: [],
  bench: ['fixtures'],
  e2e: ['fixtures', 'bench', 'tools'],
} satisfies Rooms;

/** The rooms of the program; the others are for its tests and its development. */
export const programRooms: readonly string[] = ['cli', ...rooms.cli];
