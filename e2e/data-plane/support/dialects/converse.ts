import { awsEventStream } from '../../../../fixtures/aws-event-stream.ts';
import {
  asList,
  asNumber,
  asRecord,
  type MockAnswer,
  type MockDialect,
  TOOL_ARGUMENTS,
  textsIn,
  toolArguments,
} from './dialect.ts';

const PATH = /^\/model\/([^/]+)\/(converse|converse-stream)$/;

/** Bedrock's Converse and ConverseStream. */
export const converse: MockDialect = {
  paths: [],
  matches: (path) => PATH.test(path),
  binaryType: 'application/vnd.amazon.eventstream',
  read(body, path) {
    const [, model = '', operation] = PATH.exec(path) ?? [];
    const spec = asRecord(asRecord(asList(asRecord(body['toolConfig'])['tools'])[0])['toolSpec']);
    return {
      model: decodeURIComponent(model),
      stream: operation === 'converse-stream',
      bound: asNumber(asRecord(body['inferenceConfig'])['maxTokens']),
      choices: 1,
      usage: true,
      tool: typeof spec['name'] === 'string' ? spec['name'] : undefined,
      texts: [
        ...textsIn(body['system']),
        ...asList(body['messages']).flatMap((message) => textsIn(asRecord(message)['content'])),
      ],
      overheadTokens: 4,
    };
  },
  whole: (answer) => ({
    output: {
      message: {
        role: 'assistant',
        content: [
          answer.tool === undefined
            ? { text: answer.text }
            : { toolUse: { ...callOf(answer), input: JSON.parse(toolArguments(answer)) } },
        ],
      },
    },
    stopReason: stopReason(answer),
    metrics: { latencyMs: 1 },
    ...(answer.usage && { usage: usage(answer) }),
  }),
  opening: (answer) =>
    messages([
      { messageStart: { role: 'assistant' } },
      ...(answer.tool === undefined
        ? []
        : [
            { contentBlockStart: { contentBlockIndex: 0, start: { toolUse: callOf(answer) } } },
            pieceOf(answer, TOOL_ARGUMENTS.before),
          ]),
    ]),
  delta: (answer, _choice, text) => messages([pieceOf(answer, text)]),
  closing: (answer) =>
    messages([
      ...(answer.tool === undefined ? [] : [pieceOf(answer, TOOL_ARGUMENTS.after)]),
      { contentBlockStop: { contentBlockIndex: 0 } },
      { messageStop: { stopReason: stopReason(answer) } },
      { metadata: { metrics: { latencyMs: 1 }, ...(answer.usage && { usage: usage(answer) }) } },
    ]),
  error: (status) => ({ message: `mock provider error ${status}` }),
};

function messages(events: readonly object[]): string {
  return Buffer.from(awsEventStream(events)).toString('latin1');
}

function pieceOf(answer: MockAnswer, text: string): object {
  const delta = answer.tool === undefined ? { text } : { toolUse: { input: text } };
  return { contentBlockDelta: { contentBlockIndex: 0, delta } };
}

function callOf(answer: MockAnswer) {
  return { toolUseId: 'tooluse_1', name: answer.tool };
}

function stopReason(answer: MockAnswer): string {
  return { stop: 'end_turn', length: 'max_tokens', tool: 'tool_use' }[answer.reason];
}

function usage(answer: MockAnswer) {
  const outputTokens = answer.tokens + answer.hiddenTokens;
  return {
    inputTokens: answer.inputTokens,
    outputTokens,
    totalTokens: answer.inputTokens + outputTokens,
    cacheReadInputTokens: 0,
    cacheWriteInputTokens: 0,
  };
}
