/** The thread that redacts content, which takes more time than the thread of the traffic has. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { RecordedContent } from '../record.ts';
import { type CompiledContentPolicy, compileContentPolicy } from './compile.ts';
import { CollectedContent, type RedactionJob } from './content-capture.ts';

/** What each policy keeps; undefined: the redaction has failed. */
export type RedactionReply = readonly RecordedContent[] | undefined;

const MAX_POLICIES = 256;

/** By their JSON, because each message has a copy of its own. */
const policies = new Map<string, CompiledContentPolicy>();

const port = parentPort as MessagePort;
port.on('message', (job: RedactionJob) => port.postMessage(replyTo(job)));

/** Replies in the order of the jobs, one to each. */
function replyTo(job: RedactionJob): RedactionReply {
  try {
    return new CollectedContent(job.policies.map(compiled), job.prompt, job.response).redact();
  } catch {
    // The error may quote the text.
    return undefined;
  }
}

function compiled(policy: RedactionJob['policies'][number]): CompiledContentPolicy {
  const key = JSON.stringify(policy);
  const known = policies.get(key) ?? compileContentPolicy(policy);
  if (policies.size === MAX_POLICIES) {
    policies.clear();
  }
  policies.set(key, known);
  return known;
}
