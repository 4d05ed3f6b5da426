/** Reads the messages of chat completions requests. */
import type {
  CacheHint,
  ConversationMessage,
  ConversationPart,
  JsonRecord,
  ReasoningPart,
  TextPart,
  ToolResultPart,
} from '../conversation.ts';
import { listOf, recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { mediaSource, RequestFields } from '../reader-fields.ts';

interface ReadMessages {
  readonly system: readonly TextPart[];
  readonly messages: readonly ConversationMessage[];
}

export function readChatMessages(fields: RequestFields, losses: Losses): ReadMessages {
  const system: TextPart[] = [];
  const messages: ConversationMessage[] = [];
  if (fields.list('messages') === undefined) {
    losses.invalid('messages', 'is missing');
  }
  for (const { object, at } of fields.records('messages')) {
    if (typeof object['name'] === 'string') {
      losses.hint('messages.name');
    }
    switch (object['role']) {
      case 'system':
      case 'developer':
        system.push(...contentOf(object, at, losses).filter((part) => part.type === 'text'));
        break;
      case 'user':
        messages.push({ role: 'user', parts: contentOf(object, at, losses) });
        break;
      case 'assistant':
        messages.push({ role: 'assistant', parts: assistantParts(object, at, losses) });
        break;
      case 'tool':
        messages.push({ role: 'user', parts: [toolResult(object, at, losses)] });
        break;
      default:
        losses.unsupported(`${at}.role`, 'Use the roles system, developer, user, assistant and tool');
    }
  }
  return { system, messages };
}

function assistantParts(object: JsonRecord, at: string, losses: Losses): readonly ConversationPart[] {
  const fields = new RequestFields(object, losses, `${at}.`);
  const refusal = fields.text('refusal');
  for (const name of ['audio', 'function_call']) {
    if (fields.any(name) !== undefined) {
      losses.unsupported(`${at}.${name}`);
    }
  }
  const calls = fields.records('tool_calls').flatMap(({ object: call, at: place }): ConversationPart[] => {
    const called = recordOf(call['function']);
    if (called === undefined) {
      losses.unsupported(place, 'Use tool calls of the type function');
      return [];
    }
    return [
      {
        type: 'tool-call',
        id: stringOf(call['id']) ?? '',
        name: stringOf(called['name']) ?? '',
        arguments: stringOf(called['arguments']) ?? '',
        signature: stringOf(recordOf(recordOf(call['extra_content'])?.['google'])?.['thought_signature']),
      },
    ];
  });
  return [
    ...reasoningParts(fields),
    ...contentOf(object, at, losses),
    ...(refusal ? [{ type: 'refusal', text: refusal } as const] : []),
    ...calls,
  ];
}

/**
 * Reads reasoning that the client echoes: with signatures in `reasoning_details`, as OpenRouter
 * has it, else without.
 */
function reasoningParts(fields: RequestFields): readonly ReasoningPart[] {
  const details = (listOf(fields.any('reasoning_details')) ?? []).flatMap((each): ReasoningPart[] => {
    const detail = recordOf(each) ?? {};
    const text = stringOf(detail['text']) ?? '';
    if (detail['type'] === 'reasoning.encrypted') {
      return [{ type: 'reasoning', text: '', redacted: stringOf(detail['data']) ?? '' }];
    }
    return text === '' && detail['signature'] === undefined
      ? []
      : [{ type: 'reasoning', text, signature: stringOf(detail['signature']) }];
  });
  const text = stringOf(fields.any('reasoning_content')) ?? stringOf(fields.any('reasoning')) ?? '';
  return details.length > 0 || text === '' ? details : [{ type: 'reasoning', text }];
}

function toolResult(object: JsonRecord, at: string, losses: Losses): ToolResultPart {
  const parts = contentOf(object, at, losses).filter(
    (part) => part.type === 'text' || part.type === 'image' || part.type === 'document',
  );
  return { type: 'tool-result', callId: stringOf(object['tool_call_id']) ?? '', parts, isError: false };
}

function contentOf(object: JsonRecord, at: string, losses: Losses): readonly ConversationPart[] {
  const { content } = object;
  if (content === null || content === undefined || typeof content === 'string') {
    return content ? [{ type: 'text', text: content }] : [];
  }
  return new RequestFields(object, losses, `${at}.`)
    .records('content')
    .flatMap(({ object: part, at: place }) => contentPart(part, place, losses));
}

function contentPart(part: JsonRecord, at: string, losses: Losses): readonly ConversationPart[] {
  const fields = new RequestFields(part, losses, `${at}.`);
  const cache = cacheHint(part);
  switch (part['type']) {
    case 'text':
      return [{ type: 'text', text: fields.text('text') ?? '', cache }];
    case 'refusal':
      return [{ type: 'refusal', text: fields.text('refusal') ?? '' }];
    case 'image_url': {
      const image = recordOf(part['image_url']);
      const source = mediaSource(stringOf(image?.['url'] ?? part['image_url']) ?? '');
      if (source === undefined) {
        losses.invalid(`${at}.image_url.url`, 'must be a URL or base64 data');
        return [];
      }
      return [{ type: 'image', source, detail: stringOf(image?.['detail']), at, cache }];
    }
    case 'input_audio': {
      const audio = recordOf(part['input_audio']);
      const data = stringOf(audio?.['data']) ?? '';
      return [{ type: 'audio', data, format: stringOf(audio?.['format']) ?? '', at }];
    }
    case 'file':
      return filePart(recordOf(part['file']) ?? {}, at, cache, losses);
    default:
      losses.unsupported(at);
      return [];
  }
}

function filePart(
  file: JsonRecord,
  at: string,
  cache: CacheHint | undefined,
  losses: Losses,
): readonly ConversationPart[] {
  const data = stringOf(file['file_data']);
  const title = stringOf(file['filename']);
  if (data === undefined) {
    losses.unsupported(`${at}.file`, 'Send the file as file_data');
    return [];
  }
  const read = mediaSource(data);
  // Without a data URL, the data is the bare base64 of a PDF.
  const source = read?.type === 'url' ? { type: 'base64' as const, mediaType: 'application/pdf', data } : read;
  if (source === undefined) {
    losses.invalid(`${at}.file.file_data`, 'must be base64 data');
    return [];
  }
  return [{ type: 'document', source, title, at, cache }];
}

/** OpenAI's breakpoints, and `cache_control` as other gateways take it in OpenAI's form. */
function cacheHint(part: JsonRecord): CacheHint | undefined {
  const own = recordOf(part['prompt_cache_breakpoint']);
  const other = recordOf(part['cache_control']);
  if (own === undefined && other === undefined) {
    return undefined;
  }
  return { lifetime: own?.['ttl'] === '12h' || other?.['ttl'] === '1h' ? 'long' : 'short' };
}
