import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { type AnswerBlock, AnswerFacts, type AnswerPart } from '../answer.ts';
import type { Conversation, ConversationPart } from '../conversation.ts';
import { Losses } from '../losses.ts';
import { type ConversionCase, convertedCase } from '../testing.ts';
import { contentClient } from './client.ts';

const contents = [{ parts: [{ text: 'Hi' }] }];

function requestOf(body: object, more: Partial<ConversionCase> = {}) {
  const given = { client: 'content', providerApi: 'Anthropic' as const, body: JSON.stringify({ contents, ...body }) };
  return convertedCase({ ...given, ...more });
}

function bodyOf(body: object, more: Partial<ConversionCase> = {}) {
  const made = requestOf(body, more);
  assert.ok(typeof made !== 'string', String(made));
  return JSON.parse(made.body);
}

function conversationOf(body: object): Conversation {
  const losses = new Losses('Anthropic', contentClient.fieldNames, false);
  const conversation = contentClient.read(body, losses);
  assert.equal(losses.problem, undefined);
  return conversation;
}

describe('what cannot be converted', () => {
  const config = (generationConfig: object) => ({ generationConfig });
  const part = (each: object) => ({ contents: [{ parts: [each] }] });
  for (const [body, field] of [
    [{ cachedContent: 'cachedContents/1' }, 'cachedContent'],
    [{ tools: [{ googleSearch: {} }] }, 'tools[0].googleSearch'],
    [{ serviceTier: 'flex' }, 'serviceTier'],
    [{ newMember: 1 }, 'newMember'],
    [config({ candidateCount: 2 }), 'generationConfig.candidateCount'],
    [config({ responseModalities: ['IMAGE'] }), 'generationConfig.responseModalities'],
    [config({ response_mime_type: 'text/x.enum' }), 'generationConfig.responseMimeType'],
    [config({ responseLogprobs: true }), 'generationConfig.responseLogprobs'],
    [config({ speechConfig: {} }), 'generationConfig.speechConfig'],
    [config({ stopSequences: [1] }), 'generationConfig.stopSequences'],
    [config({ thinkingConfig: { thinkingLevel: 'EXTREME' } }), 'generationConfig.thinkingConfig.thinkingLevel'],
    [part({ executableCode: { code: '1' } }), 'contents[0].parts[0].executableCode'],
    [part({ fileData: { fileUri: 'gs://bucket/a.png', mimeType: 'image/png' } }), 'contents[0].parts[0].fileData'],
    [
      part({
        fileData: { fileUri: 'https://generativelanguage.googleapis.com/v1beta/files/a', mimeType: 'image/png' },
      }),
      'contents[0].parts[0].fileData',
    ],
    [part({ inlineData: { mimeType: 'video/mp4', data: 'AAAA' } }), 'contents[0].parts[0]'],
    [part({ functionResponse: { name: 'f', response: {} } }), 'contents[0].parts[0].functionResponse'],
  ] as const) {
    it(`is refused by its name: ${field}`, () => {
      const message = requestOf(body);
      assert.ok(typeof message === 'string' && message.startsWith(`\`${field}\``), JSON.stringify(message));
    });
  }

  it('is dropped by the rule', () => {
    const made = requestOf({ tools: [{ googleSearch: {} }], labels: { a: 'b' } }, { drops: true });
    assert.ok(typeof made !== 'string');
    assert.deepEqual(made.dropped, ['labels', 'tools[0].googleSearch']);
    const generationConfig = { candidateCount: 2, responseMimeType: 'application/json' };
    const plain = requestOf({ generationConfig }, { drops: true });
    assert.ok(typeof plain !== 'string');
    assert.deepEqual(plain.dropped, ['generationConfig.candidateCount', 'generationConfig.responseMimeType']);
  });
});

describe('thinking', () => {
  const reasoningOf = (thinkingConfig: object) =>
    conversationOf({ contents, generationConfig: { thinking_config: thinkingConfig } }).reasoning;

  it('is off, adaptive, a budget or an effort', () => {
    assert.deepEqual(reasoningOf({ thinkingBudget: 0 }), { type: 'off' });
    assert.deepEqual(reasoningOf({ thinkingBudget: -1 }), { type: 'adaptive' });
    assert.deepEqual(reasoningOf({ thinking_budget: 100 }), { type: 'budget', tokens: 100 });
    assert.deepEqual(reasoningOf({ thinkingLevel: 'HIGH' }), { type: 'effort', effort: 'high' });
    assert.deepEqual(reasoningOf({ includeThoughts: true }), { type: 'adaptive' });
    assert.equal(reasoningOf({}), undefined);
  });
});

describe('functions', () => {
  const declared = [{ functionDeclarations: [{ name: 'a' }, { name: 'b' }] }];
  const choiceOf = (functionCallingConfig: object) => {
    const { tools, tool_choice } = bodyOf({ tools: declared, toolConfig: { functionCallingConfig } });
    return [(tools as { name: string }[]).map(({ name }) => name).join(), tool_choice];
  };

  it('are limited to those that may be called', () => {
    assert.deepEqual(choiceOf({ mode: 'AUTO' }), ['a,b', undefined]);
    assert.deepEqual(choiceOf({ mode: 'NONE' }), ['a,b', { type: 'none' }]);
    assert.deepEqual(choiceOf({ mode: 'ANY' }), ['a,b', { type: 'any' }]);
    assert.deepEqual(choiceOf({ mode: 'any', allowedFunctionNames: ['b'] }), ['a,b', { type: 'tool', name: 'b' }]);
    assert.deepEqual(choiceOf({ mode: 'VALIDATED', allowed_function_names: ['b'] }), ['b', undefined]);
  });

  it('whose calls have no ids get their results by name, in order', () => {
    const call = (city: string) => ({ functionCall: { name: 'a', args: { city } } });
    const result = (output: string) => ({ functionResponse: { name: 'a', response: { output } } });
    const { messages } = conversationOf({
      contents: [
        { role: 'model', parts: [call('Bern'), call('Rome')] },
        { role: 'user', parts: [result('cold'), result('warm')] },
      ],
    });
    const ids = messages.map(({ parts }) =>
      parts.map((each) => ('id' in each ? each.id : 'callId' in each && each.callId)),
    );
    assert.deepEqual(ids, [
      ['call_0', 'call_1'],
      ['call_0', 'call_1'],
    ]);
  });
});

describe('a response that a client sends back', () => {
  const text = fc.string({ minLength: 1 });
  const block: fc.Arbitrary<AnswerBlock> = fc.oneof(
    fc.record({ type: fc.constant('text' as const), text }),
    fc.record({ type: fc.constant('reasoning' as const), text, signature: text }),
    fc.record({ type: fc.constant('redacted-reasoning' as const), data: text }),
    fc.record({
      type: fc.constant('tool-call' as const),
      id: text,
      name: text,
      arguments: fc.dictionary(text, fc.string()).map((args) => JSON.stringify(args)),
      signature: fc.option(text, { nil: undefined }),
    }),
  );
  const urlSafe = (body: string) =>
    body.replace(/"thoughtSignature":"([^"]+)"/g, (member) => member.replaceAll('+', '-').replaceAll('/', '_'));

  /** What a provider is to get back: adjacent texts are one in a stream. */
  function expected(blocks: readonly AnswerBlock[]): readonly ConversationPart[] {
    const parts = blocks.map((each): ConversationPart => {
      switch (each.type) {
        case 'redacted-reasoning':
          return { type: 'reasoning', text: '', redacted: each.data };
        case 'tool-call': {
          const { signature, ...call } = each;
          return { ...call, id: call.id!, ...(signature !== undefined && { signature }) };
        }
        default:
          return each;
      }
    });
    // Without the prototypes of generated objects.
    return JSON.parse(JSON.stringify(parts)) as readonly ConversationPart[];
  }

  function readBack(parts: readonly object[]): readonly ConversationPart[] {
    return conversationOf({ contents: [{ role: 'model', parts }] }).messages[0]!.parts;
  }

  const options = { hideUsage: false, model: 'm' };

  it('has lost nothing, as a document', () => {
    fc.assert(
      fc.property(fc.array(block), fc.boolean(), (blocks, includesThoughts) => {
        const answer = { id: 'r', model: 'm', blocks, usage: undefined, reason: 'stop' as const, stop: undefined };
        const document = Buffer.from(contentClient.document(answer, options, { includesThoughts })).toString();
        const { candidates } = JSON.parse(urlSafe(document));
        assert.deepEqual(readBack(candidates[0].content.parts), expected(blocks));
      }),
      fuzzRuns(300),
    );
  });

  it('has lost nothing, as a stream', () => {
    fc.assert(
      fc.property(fc.array(block), fc.boolean(), (blocks, includesThoughts) => {
        const writer = contentClient.newWriter({} as never, options, { includesThoughts });
        const facts = new AnswerFacts([
          ...blocks.flatMap(partsOf),
          { type: 'finish', reason: 'stop' },
          { type: 'end' },
        ]);
        assert.equal(writer.write(new Uint8Array(0), 0, 0, facts), 'replace');
        const events = urlSafe(Buffer.from(writer.replacement).toString()).split('\r\n\r\n').slice(0, -1);
        const parts = events.flatMap((event) => JSON.parse(event.slice('data: '.length)).candidates[0].content.parts);
        assert.deepEqual(readBack(parts), expected(blocks));
      }),
      fuzzRuns(300),
    );
  });

  function partsOf(each: AnswerBlock): readonly AnswerPart[] {
    switch (each.type) {
      case 'reasoning':
        return [each, { type: 'signature', signature: each.signature! }];
      case 'redacted-reasoning':
        return [each];
      case 'tool-call':
        return [each, { type: 'arguments', text: each.arguments }, { type: 'block-end' }];
      default:
        return [each, { type: 'block-end' }];
    }
  }
});
