/**
 * Services of guardrails on loopback that fail as the text asks: `@@FAULT@@` in it. Without one,
 * they allow the text by the API of their path. The judge is also a provider of chat completions.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Output } from './leaks/outputs.ts';

/** Answers that allow a text. `body`: of the request. */
const answers = {
  presidio: () => [],
  webhook: () => ({ action: 'allow' }),
  moderation: () => ({ results: [{ categories: { hate: false }, category_scores: { hate: 0 } }] }),
  lakera: () => ({ flagged: false }),
  judge: (body: string) => verdictOf({ id: idIn(body), flagged: body.includes('a crime'), score: 0.9 }),
} as const;

export type DetectorKind = keyof typeof answers;

export const detectorKinds = Object.keys(answers) as readonly DetectorKind[];

/** Answers that the contracts do not allow: offsets outside of the text, unknown verdicts. */
const wrongAnswers: Readonly<Record<DetectorKind, object>> = {
  presidio: [{ entity_type: 'PERSON', start: 0, end: 9_999, score: 0.9 }],
  webhook: { action: 'permit' },
  moderation: { results: [] },
  lakera: { flagged: 'no' },
  judge: verdictOf({ id: 'another', flagged: false, score: 0 }),
};

const spaces = Buffer.alloc(10 * 1024 * 1024, ' ');

type AnswerWrongly = (response: ServerResponse, kind: DetectorKind, body: string) => void;

/** What each fault is, and the reason that the gateway gives. */
export const faults = {
  slow: { reason: 'timeout', answer: () => {} },
  trickle: {
    reason: 'timeout',
    answer: (response) => {
      const timer = setInterval(() => response.write(' '), 5);
      response.on('close', () => clearInterval(timer));
    },
  },
  away: { reason: 'unavailable', answer: (response) => response.writeHead(503).end() },
  broken: { reason: 'unavailable', answer: (response) => response.destroy() },
  forbidding: {
    reason: 'bad_response',
    answer: (response, kind, body) => response.writeHead(403).end(allowed(kind, body)),
  },
  truncated: {
    reason: 'bad_response',
    answer: (response, kind, body) => response.end(allowed(kind, body).slice(0, -1)),
  },
  wrong: { reason: 'bad_response', answer: (response, kind) => response.end(JSON.stringify(wrongAnswers[kind])) },
  huge: {
    reason: 'bad_response',
    answer: (response, kind, body) => {
      response.write(spaces);
      response.end(allowed(kind, body));
    },
  },
  redirect: { reason: 'bad_response', answer: (response) => response.writeHead(307, { location: '/elsewhere' }).end() },
} as const satisfies Record<string, { readonly reason: string; readonly answer: AnswerWrongly }>;

export type Fault = keyof typeof faults;

export const faultNames = Object.keys(faults) as readonly Fault[];

export interface FaultyDetectors {
  readonly port: number;
  /** Paths that were asked. */
  readonly paths: ReadonlySet<string>;
  stop(): Promise<void>;
}

/** Serves all kinds, each at a path that begins with its name. */
export async function startFaultyDetectors(): Promise<FaultyDetectors> {
  const paths = new Set<string>();
  const output = new Output('a request to a service of guardrails', ['content']);
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    paths.add(path);
    let body = '';
    request.setEncoding('utf8').on('data', (part) => (body += part));
    request.on('end', () => {
      output.add(`${path}\n${body}\n`);
      const kind = detectorKinds.find((each) => path.startsWith(`/${each}`)) ?? 'judge';
      const fault = faultNames.find((each) => body.includes(`@@${each}@@`));
      response.setHeader('content-type', 'application/json');
      const answer: AnswerWrongly = fault === undefined ? allow : faults[fault].answer;
      answer(response, kind, body);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    paths,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const allow: AnswerWrongly = (response, kind, body) => response.end(allowed(kind, body));

function allowed(kind: DetectorKind, body: string): string {
  return JSON.stringify(answers[kind](body));
}

function verdictOf(verdict: object): object {
  return { choices: [{ message: { role: 'assistant', content: JSON.stringify(verdict) } }] };
}

/** Returns the id that a judge must repeat. */
function idIn(body: string): string {
  return /\\"id\\": \\"([\w-]+)\\"/.exec(body)?.[1] ?? '';
}
