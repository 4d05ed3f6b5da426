/** Removes the types from the TypeScript of the page, and ends. */
import { stripTypeScriptTypes } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const texts = workerData as ReadonlyMap<string, string>;
const stripped = [...texts].map(
  ([name, text]) => [name, name.endsWith('.ts') ? stripTypeScriptTypes(text) : text] as const,
);
parentPort?.postMessage(new Map(stripped));
