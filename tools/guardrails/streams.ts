/** Measures what guardrails cost on responses: the events of a stream, and whole answers. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { guardrailScopes } from '../../contract/guardrails.ts';
import { compileGuardrailPolicy } from '../../extproc/guard/compile.ts';
import { RequestGuard } from '../../extproc/guard/guard.ts';
import { ChannelText } from '../../extproc/guard/stream/channel-text.ts';
import { guardDocument } from '../../extproc/guard/stream/guarded-document.ts';
import { GuardedStream } from '../../extproc/guard/stream/guarded-stream.ts';
import { row, table } from '../markdown.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const CHUNKS = 50_000;
const STREAMS = 5_000;
const LIMITS = { bytes: 65_536, ms: 2000 };

const words = 'The quick brown fox, 42 years old, jumps over the lazy dog near Vienna; see section 3.1. '.split(
  /(?<= )/,
);

type Detectors = Parameters<typeof compileGuardrailPolicy>[0]['rules'][number]['detector'];

function newGuard(detector: Detectors): RequestGuard {
  const { rules } = compileGuardrailPolicy({
    name: 'default/guard',
    rules: [
      {
        name: 'identifiers',
        phases: ['Response'],
        scope: guardrailScopes,
        detector,
        action: { type: 'Mask', placeholder: '<{type}-{index}>', restore: true },
        onFailure: 'Closed',
        timeoutMs: 100,
        onUnmaskable: 'Block',
      },
    ],
    exempt: [],
    holdBack: LIMITS,
  });
  return new RequestGuard(rules.map(({ guard }) => guard));
}

function chunk(content: string): Buffer {
  const choices = [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }];
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_760_000_000, model: 'gpt-4o-mini' };
  return Buffer.from(`data: ${JSON.stringify({ ...head, system_fingerprint: 'fp_1', choices })}\n\n`);
}

const chunks = words.map(chunk);

function newStream(guard: RequestGuard): GuardedStream {
  const stage = { rules: true, placeholders: true };
  return new GuardedStream(
    guard,
    (kind) => new ChannelText(kind, guard, stage),
    LIMITS,
    () => {},
  );
}

function microsecondsAChunk(detector: Detectors): number {
  const run = (count: number) => {
    const stream = newStream(newGuard(detector));
    for (let at = 0; at < count; at++) {
      const event = chunks[at % chunks.length]!;
      stream.event(event, 0, event.length, 0);
    }
  };
  run(CHUNKS / 2);
  const before = process.cpuUsage();
  run(CHUNKS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / CHUNKS;
}

/** Returns the memory of a stream that holds an event back. */
function heldBytes(detector: Detectors): number {
  const open = chunk('jane.doe');
  const streams: GuardedStream[] = [];
  const used = () => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  for (let count = 0; count < STREAMS; count++) {
    const stream = newStream(newGuard(detector));
    for (const event of [...chunks, open]) {
      stream.event(event, 0, event.length, 0);
    }
    streams.push(stream);
  }
  return (used() - before) / streams.length;
}

function documentTimes(detector: Detectors): { readonly totalMs: number; readonly longestMs: number } {
  const content = words.join('').repeat(Math.ceil(2 ** 20 / words.join('').length));
  const document = Buffer.from(
    JSON.stringify({ choices: [{ index: 0, message: { content }, finish_reason: 'stop' }] }),
  );
  const run = () => {
    const work = guardDocument(document, newGuard(detector), undefined);
    const startMs = performance.now();
    let longestMs = 0;
    for (let done = false; !done; ) {
      const stepMs = performance.now();
      done = work.next().done === true;
      longestMs = Math.max(longestMs, performance.now() - stepMs);
    }
    return { totalMs: performance.now() - startMs, longestMs };
  };
  run();
  return run();
}

/** Returns the section of the report. */
export function streamSection(seven: Detectors): string[] {
  const none: Detectors = { type: 'Pattern', expressions: [] };
  const { totalMs, longestMs } = documentTimes(seven);
  return [
    '## Responses',
    '',
    'Chat completions of ordinary words, on one core. Without guardrails, events pass unread behind the writer.',
    '',
    table(
      ['measurement', 'result'],
      [
        ['processor a chunk, seven built-in detectors', `${microsecondsAChunk(seven).toFixed(1)} µs`],
        ['of this, without detectors: reading and passing the event', `${microsecondsAChunk(none).toFixed(1)} µs`],
        ['memory of a stream that holds an event back', `${(heldBytes(seven) / 1024).toFixed(1)} KB`],
        ['an answer of 1 MB', `${totalMs.toFixed(0)} ms in steps of at most ${longestMs.toFixed(1)} ms`],
      ].map((cells) => row(...cells)),
    ),
  ];
}
