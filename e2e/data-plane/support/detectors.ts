/** Services of guardrails on loopback: Presidio's analyzer for a few names, and a webhook. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Output } from './leaks/outputs.ts';

export interface DetectorStub {
  readonly url: string;
  /** The bodies of the requests that arrived. */
  // biome-ignore lint/suspicious/noExplicitAny: each service has a body of its own
  readonly bodies: any[];
  /** The next requests get no answer, until `wakes`. */
  sleeps(): void;
  wakes(): void;
  stop(): Promise<void>;
}

/** `port` 0: any. */
export async function startDetector(port: number, answer: (body: never) => unknown): Promise<DetectorStub> {
  const bodies: never[] = [];
  const output = new Output('a request to a service of guardrails', ['content']);
  let sleeps = false;
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part) => (text += part));
    request.on('end', () => {
      output.add(text);
      const body = JSON.parse(text) as never;
      bodies.push(body);
      if (!sleeps) {
        response.setHeader('content-type', 'application/json').end(JSON.stringify(answer(body)));
      }
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    sleeps: () => {
      sleeps = true;
    },
    wakes: () => {
      sleeps = false;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface PresidioBody {
  readonly text: string;
  readonly entities: readonly string[];
}

/** Answers as Presidio does; finds the given names, and counts code points as Python does. */
export function presidioFor(names: Readonly<Record<string, string>>): (body: PresidioBody) => unknown {
  return ({ text, entities }) =>
    Object.entries(names)
      .filter(([name, type]) => text.includes(name) && entities.includes(type))
      .map(([name, type]) => {
        const start = [...text.slice(0, text.indexOf(name))].length;
        return { analysis_explanation: null, entity_type: type, start, end: start + [...name].length, score: 0.85 };
      });
}
