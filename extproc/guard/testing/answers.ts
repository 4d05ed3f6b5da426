/** Answers of every client API with one text in several pieces, and what a client reads of them. */

export type TextKind = 'text' | 'arguments' | 'reasoning';

export interface AnswerForm {
  readonly name: string;
  readonly kind: TextKind;
  /** Returns the events of a stream with this text; `arguments`: the text is their source. */
  events(pieces: readonly string[]): readonly string[];
  /** Returns all copies of the text that a client of the stream has. */
  read(events: readonly string[]): readonly string[];
  /** Returns the document. */
  document(text: string): string;
  readDocument(document: string): string;
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read as a client does.
type Json = any;

function data(event: string): Json {
  const line = event.split(/\r?\n/).find((each) => each.startsWith('data:'));
  const text = line?.slice('data:'.length).trim();
  return text === undefined || text === '' || text === '[DONE]' ? {} : JSON.parse(text);
}

const plain = (value: object): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (value: { readonly type: string }): string => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;

function chat(name: string, kind: TextKind, wrap: (text: string) => object, find: (delta: Json) => Json): AnswerForm {
  const chunk = (delta: object, finish: string | null = null) =>
    plain({ id: 'chatcmpl-1', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] });
  return {
    name,
    kind,
    events: (pieces) => [
      chunk({ role: 'assistant', content: '' }),
      ...pieces.map((piece) => chunk(wrap(piece))),
      chunk({}, 'stop'),
      'data: [DONE]\n\n',
    ],
    read: (events) => [events.map((each) => find(data(each).choices?.[0]?.delta ?? {}) ?? '').join('')],
    document: (text) =>
      JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, message: wrap(text), finish_reason: 'stop' }] }),
    readDocument: (document) => find(JSON.parse(document).choices[0].message),
  };
}

function messages(kind: TextKind, block: object, delta: string, field: string): AnswerForm {
  return {
    name: `messages ${kind}`,
    kind,
    events: (pieces) => [
      named({ type: 'message_start', message: { id: 'msg_1', type: 'message', content: [] } } as never),
      named({ type: 'content_block_start', index: 0, content_block: block } as never),
      ...pieces.map((piece) =>
        named({ type: 'content_block_delta', index: 0, delta: { type: delta, [field]: piece } } as never),
      ),
      named({ type: 'content_block_stop', index: 0 } as never),
      named({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5 } } as never),
      named({ type: 'message_stop' }),
    ],
    read: (events) => [events.map((each) => data(each).delta?.[field] ?? '').join('')],
    document: (text) =>
      JSON.stringify({
        id: 'msg_1',
        content: [{ ...block, ...(kind === 'arguments' ? { input: JSON.parse(text) } : { [field]: text }) }],
        stop_reason: 'end_turn',
      }),
    readDocument: (document) => {
      const [first] = JSON.parse(document).content;
      return kind === 'arguments' ? JSON.stringify(first.input) : first[field];
    },
  };
}

interface ResponsesForm {
  readonly event: string;
  /** The member of the `done` event that has the whole text. */
  readonly done: string;
  item(text: string): object;
  find(item: Json): string;
}

function responses(kind: TextKind, { event, done, item, find }: ResponsesForm): AnswerForm {
  return {
    name: `responses ${kind}`,
    kind,
    events: (pieces) => {
      const text = pieces.join('');
      const place = { output_index: 0, content_index: 0 };
      const base = { id: 'resp_1', status: 'in_progress', output: [] as object[] };
      return [
        { type: 'response.created', response: base },
        { type: 'response.output_item.added', output_index: 0, item: item('') },
        ...pieces.map((delta) => ({ type: `${event}.delta`, ...place, delta })),
        { type: `${event}.done`, ...place, [done]: text },
        { type: 'response.output_item.done', output_index: 0, item: item(text) },
        {
          type: 'response.completed',
          response: { ...base, status: 'completed', incomplete_details: null, output: [item(text)] },
        },
      ].map((each, place) => named(Object.assign(each, { sequence_number: place })));
    },
    read: (events) => {
      const all = events.map(data);
      const copies = all.flatMap((each) => [
        ...(each.type === `${event}.done` ? [each[done]] : []),
        ...(each.type === 'response.output_item.done' ? [find(each.item)] : []),
        ...(each.type === 'response.completed' ? [find(each.response.output[0])] : []),
      ]);
      return [all.map((each) => (each.type === `${event}.delta` ? each.delta : '')).join(''), ...copies];
    },
    document: (text) =>
      JSON.stringify({ id: 'resp_1', status: 'completed', incomplete_details: null, output: [item(text)] }),
    readDocument: (document) => find(JSON.parse(document).output[0]),
  };
}

function gemini(kind: TextKind, part: (text: string) => object, find: (part: Json) => string | undefined): AnswerForm {
  const answer = (text: string, more: object = {}) => ({
    candidates: [{ content: { parts: [part(text)], role: 'model' }, index: 0, ...more }],
    modelVersion: 'gemini-2.5-flash',
  });
  return {
    name: `generateContent ${kind}`,
    kind,
    events: (pieces) => [
      ...(kind === 'arguments' ? [pieces.join('')] : pieces).map((piece) => plain(answer(piece))),
      plain({ candidates: [{ finishReason: 'STOP', index: 0 }] }),
    ],
    read: (events) => [events.map((each) => find(data(each).candidates?.[0]?.content?.parts[0] ?? {}) ?? '').join('')],
    document: (text) => JSON.stringify(answer(text, { finishReason: 'STOP' })),
    readDocument: (document) => find(JSON.parse(document).candidates[0].content.parts[0])!,
  };
}

const completions: AnswerForm = {
  name: 'completions text',
  kind: 'text',
  events: (pieces) => [
    ...pieces.map((text) => plain({ id: 'cmpl-1', choices: [{ index: 0, text, finish_reason: null }] })),
    plain({ id: 'cmpl-1', choices: [{ index: 0, text: '', finish_reason: 'stop' }] }),
  ],
  read: (events) => [events.map((each) => data(each).choices?.[0]?.text ?? '').join('')],
  document: (text) => JSON.stringify({ id: 'cmpl-1', choices: [{ index: 0, text, finish_reason: 'stop' }] }),
  readDocument: (document) => JSON.parse(document).choices[0].text,
};

const tgi: AnswerForm = {
  name: 'generate text',
  kind: 'text',
  events: (pieces) =>
    pieces.map((text, place) => {
      const isLast = place === pieces.length - 1;
      return plain({
        index: place + 1,
        token: { id: place, text, logprob: 0, special: false },
        generated_text: isLast ? pieces.join('') : null,
        details: isLast ? { finish_reason: 'eos_token', generated_tokens: 1 } : null,
      });
    }),
  read: (events) => {
    const all = events.map(data);
    return [all.map((each) => each.token?.text ?? '').join(''), all.map((each) => each.generated_text ?? '').join('')];
  },
  document: (text) => JSON.stringify([{ generated_text: text, details: { finish_reason: 'eos_token' } }]),
  readDocument: (document) => JSON.parse(document)[0].generated_text,
};

const toolCall = (index: number, args: string) => ({
  tool_calls: [{ index, id: 'call_1', type: 'function', function: { name: 'send', arguments: args } }],
});

export const answerForms: readonly AnswerForm[] = [
  chat(
    'chat text',
    'text',
    (content) => ({ content }),
    (delta) => delta.content,
  ),
  chat(
    'chat refusal',
    'text',
    (refusal) => ({ refusal }),
    (delta) => delta.refusal,
  ),
  chat(
    'chat unknown member',
    'text',
    (answer) => ({ answer }),
    (delta) => delta.answer,
  ),
  chat(
    'chat reasoning',
    'reasoning',
    (reasoning_content) => ({ reasoning_content }),
    (d) => d.reasoning_content,
  ),
  chat(
    'chat arguments',
    'arguments',
    (args) => toolCall(0, args),
    (d) => d.tool_calls?.[0].function.arguments,
  ),
  completions,
  tgi,
  messages('text', { type: 'text', text: '' }, 'text_delta', 'text'),
  messages('arguments', { type: 'tool_use', id: 't', name: 'send', input: {} }, 'input_json_delta', 'partial_json'),
  messages('reasoning', { type: 'thinking', thinking: '' }, 'thinking_delta', 'thinking'),
  responses('text', {
    event: 'response.output_text',
    done: 'text',
    item: (text) => ({ type: 'message', id: 'm', role: 'assistant', content: [{ type: 'output_text', text }] }),
    find: (item) => item.content[0].text,
  }),
  responses('arguments', {
    event: 'response.function_call_arguments',
    done: 'arguments',
    item: (text) => ({ type: 'function_call', id: 'f', call_id: 'c', name: 'send', arguments: text }),
    find: (item) => item.arguments,
  }),
  responses('reasoning', {
    event: 'response.reasoning_summary_text',
    done: 'text',
    item: (text) => ({ type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text }] }),
    find: (item) => item.summary[0].text,
  }),
  gemini(
    'text',
    (text) => ({ text }),
    (part) => part.text,
  ),
  gemini(
    'reasoning',
    (text) => ({ text, thought: true }),
    (part) => part.text,
  ),
  gemini(
    'arguments',
    (text) => ({ functionCall: { name: 'send', args: text === '' ? {} : JSON.parse(text) } }),
    (part) => (part.functionCall ? JSON.stringify(part.functionCall.args) : undefined),
  ),
];
