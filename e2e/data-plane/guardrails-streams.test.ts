/** Guardrails on responses before real Envoy: what the official clients read of masked answers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Behaviour } from './support/behaviour.ts';
import { anthropicClient, googleClient, mock, openaiClient, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { backends, CLAUDE, MODEL, rules } from './support/world.ts';

const GEMINI = 'gemini-3-flash';
const TEXT = 'Card 4111 1111 1111 1111 of jane.doe@example.com, done.';
const MASKED = 'Card <CreditCard-1> of jane.doe@example.com, done.';
const BLOCKED = 'Well, project falcon begins in May.';

const mask = (name: string, phase: string, detector: string): Document => ({
  name,
  phases: [phase],
  detect: { type: 'Builtin', builtin: { detectors: [detector] } },
  action: { type: 'Mask', mask: { placeholder: '<{type}-{index}>', restore: true } },
});

const policy: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIGuardrailPolicy',
  metadata: { name: 'company', namespace: 'default' },
  spec: {
    targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
    rules: [
      // The provider echoes the prompt: the address comes back, the card does not.
      mask('addresses', 'Request', 'Email'),
      mask('cards', 'Response', 'CreditCard'),
      {
        name: 'projects',
        phases: ['Response'],
        detect: { type: 'Pattern', pattern: { expressions: ['(?i)\\bproject falcon\\b'] } },
        action: { type: 'Block', block: { message: 'Names of projects may not be used here.' } },
      },
    ],
  },
};

const tool = { name: 'weather', description: 'The weather', parameters: { type: 'object', properties: {} } };

describe('the official clients read masked streams', () => {
  let provider: Provider;
  let gateway: Gateway;
  const team = { 'x-team': 'red' };
  const echo = (more: Behaviour = {}) => mock({ echo: true, ...more }, team);

  before(async () => {
    provider = await startProvider();
    gateway = await startGateway([
      ...backends(provider.port),
      backend('gemini', { schema: 'GoogleGemini', port: provider.port }),
      route('chat', [...rules, { name: 'gemini', models: ['gemini-*'], backendRefs: [{ name: 'gemini' }] }]),
      quotaPolicy('teams', 'chat', [teamQuota('tokens', 'TotalTokens', 1_000_000)]),
      policy,
    ]);
  });
  after(async () => {
    await provider?.stop();
    await gateway?.stop();
  });

  async function chat(text: string, behaviour: Behaviour = {}, tools = false) {
    const stream = await openaiClient(gateway.url).chat.completions.create(
      {
        model: MODEL,
        messages: say(text),
        stream: true,
        ...(tools && { tools: [{ type: 'function', function: tool }] }),
      },
      echo(behaviour),
    );
    const [content, args, reasons]: [string[], string[], unknown[]] = [[], [], []];
    for await (const { choices } of stream) {
      content.push(choices[0]?.delta.content ?? '');
      args.push(choices[0]?.delta.tool_calls?.[0]?.function?.arguments ?? '');
      reasons.push(...choices.map((choice) => choice.finish_reason).filter((reason) => reason !== null));
    }
    return { content: content.join(''), args: args.join(''), reasons };
  }

  it('chat completions: text and arguments of tools, also compressed', async () => {
    assert.equal((await chat(TEXT)).content, MASKED);
    assert.equal((await chat(TEXT, { encoding: 'gzip' })).content, MASKED);
    const { args, reasons } = await chat(TEXT, { tool: true }, true);
    assert.deepEqual(JSON.parse(args), { location: MASKED });
    assert.deepEqual(reasons, ['tool_calls']);
    assert.equal(JSON.stringify(provider.seen).includes('jane.doe'), false);
  });

  it('responses: deltas and the response at the end', async () => {
    const stream = openaiClient(gateway.url).responses.stream({ model: MODEL, input: TEXT }, echo());
    let deltas = '';
    stream.on('response.output_text.delta', ({ delta }) => {
      deltas += delta;
    });
    assert.equal((await stream.finalResponse()).output_text, MASKED);
    assert.equal(deltas, MASKED);
  });

  it('messages, of the own and of another API', async () => {
    for (const model of [CLAUDE, MODEL]) {
      const stream = anthropicClient(gateway.url).messages.stream(
        { model, max_tokens: 100, messages: say(TEXT) },
        echo(),
      );
      const { content } = await stream.finalMessage();
      assert.equal(content.map((block) => (block.type === 'text' ? block.text : '')).join(''), MASKED);
    }
  });

  it('generateContent', async () => {
    const google = googleClient(gateway.url, echo().headers);
    const texts: string[] = [];
    for await (const chunk of await google.models.generateContentStream({ model: GEMINI, contents: TEXT })) {
      texts.push(chunk.text ?? '');
    }
    assert.equal(texts.join(''), MASKED);
  });

  it('whole answers, also compressed', async () => {
    for (const encoding of [undefined, 'gzip'] as const) {
      const { choices } = await openaiClient(gateway.url).chat.completions.create(
        { model: MODEL, messages: say(TEXT) },
        echo(encoding && { encoding }),
      );
      assert.equal(choices[0]?.message.content, MASKED);
    }
  });

  it('a block ends the stream and stops the provider', async () => {
    const { result, record } = await gateway.recordOf(() => chat(`${BLOCKED}${' more'.repeat(2000)}`, { paceMs: 1 }));
    assert.equal(result.content, 'Well, ');
    assert.deepEqual(result.reasons, ['content_filter']);
    const line = JSON.parse(record.line);
    assert.equal(line.error, 'content_blocked');
    assert.deepEqual(line.guardrails['default/company/projects'], { action: 'block', findings: { Pattern: 1 } });
    assert.ok((record.outputTokens ?? 0) > 0 && (record.outputTokens ?? 0) < 500, String(record.outputTokens));
    assert.ok(provider.seen.at(-1)!.outputTokens < 3000);
  });

  it('a block ends a message with a refusal', async () => {
    const { content, stop_reason: reason } = await anthropicClient(gateway.url)
      .messages.stream({ model: CLAUDE, max_tokens: 100, messages: say(BLOCKED) }, echo())
      .finalMessage();
    assert.equal(reason, 'refusal');
    assert.deepEqual(
      content.map((block) => block.type === 'text' && block.text),
      ['Well, '],
    );
  });
});
