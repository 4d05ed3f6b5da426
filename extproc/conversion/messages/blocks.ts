/** Reads the content blocks of messages requests. */
import type {
  CacheHint,
  ConversationPart,
  DocumentPart,
  JsonRecord,
  MediaSource,
  ToolResultPart,
} from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import { readCallSignature } from './call-signature.ts';

/** Reads a member that is a string or a list of blocks; `at` is the path of its object. */
export function readBlocks(
  fields: RequestFields,
  name: string,
  at: string,
  losses: Losses,
): readonly ConversationPart[] {
  const content = fields.any(name);
  if (content === undefined || typeof content === 'string') {
    return content ? [{ type: 'text', text: content }] : [];
  }
  const parts = fields
    .records(name)
    .flatMap(({ object }, index) => readBlock(object, `${at}${name}[${index}]`, losses));
  return withCallSignatures(parts);
}

/** Gives the signatures of tool calls, which blocks of thinking carry, back to their calls. */
function withCallSignatures(parts: readonly ConversationPart[]): readonly ConversationPart[] {
  let signature: string | undefined;
  return parts.flatMap((part): readonly ConversationPart[] => {
    const carried = part.type === 'reasoning' ? readCallSignature(part.signature) : undefined;
    if (carried !== undefined) {
      signature = carried;
      return [];
    }
    if (part.type !== 'tool-call' || signature === undefined) {
      return [part];
    }
    const signed = { ...part, signature };
    signature = undefined;
    return [signed];
  });
}

function readBlock(block: JsonRecord, at: string, losses: Losses): readonly ConversationPart[] {
  const fields = new RequestFields(block, losses, `${at}.`);
  const cache = cacheHint(block);
  switch (block['type']) {
    case 'text':
      return [{ type: 'text', text: fields.text('text') ?? '', cache }];
    case 'image': {
      const source = mediaOf(fields.record('source') ?? {}, at, losses);
      return source === undefined ? [] : [{ type: 'image', source, at, cache }];
    }
    case 'document':
      return documentOf(fields, at, cache, losses);
    case 'thinking':
      return [
        {
          type: 'reasoning',
          text: fields.text('thinking') ?? '',
          signature: fields.text('signature') || undefined,
        },
      ];
    case 'redacted_thinking':
      return [{ type: 'reasoning', text: '', redacted: fields.text('data') ?? '' }];
    case 'tool_use':
      return [
        {
          type: 'tool-call',
          id: fields.text('id') ?? '',
          name: fields.text('name') ?? '',
          arguments: JSON.stringify(fields.record('input') ?? {}),
          cache,
        },
      ];
    case 'tool_result':
      return [toolResult(fields, at, cache, losses)];
    default:
      losses.unsupported(at, 'Remove the block');
      return [];
  }
}

/** Reads `cache_control` of a block, a tool or the request. */
export function cacheHint(object: JsonRecord): CacheHint | undefined {
  const control = recordOf(object['cache_control']);
  return control && { lifetime: control['ttl'] === '1h' ? 'long' : 'short' };
}

function toolResult(fields: RequestFields, at: string, cache: CacheHint | undefined, losses: Losses): ToolResultPart {
  const parts = readBlocks(fields, 'content', `${at}.`, losses).filter(
    (part) => part.type === 'text' || part.type === 'image' || part.type === 'document',
  );
  return {
    type: 'tool-result',
    callId: fields.text('tool_use_id') ?? '',
    parts,
    isError: fields.flag('is_error') === true,
    cache,
  };
}

function mediaOf(source: JsonRecord, at: string, losses: Losses): MediaSource | undefined {
  const url = stringOf(source['url']);
  const data = stringOf(source['data']);
  if (source['type'] === 'url' && url !== undefined) {
    return { type: 'url', url };
  }
  if (source['type'] === 'base64' && data !== undefined) {
    return { type: 'base64', mediaType: stringOf(source['media_type']) ?? '', data };
  }
  losses.unsupported(`${at}.source`, 'Send the contents or a URL');
  return undefined;
}

function documentOf(
  fields: RequestFields,
  at: string,
  cache: CacheHint | undefined,
  losses: Losses,
): readonly DocumentPart[] {
  const source = fields.record('source') ?? {};
  const title = fields.text('title');
  if (recordOf(fields.any('citations'))?.['enabled'] === true) {
    losses.unsupported(`${at}.citations`);
  }
  if (source['type'] === 'text' || source['type'] === 'content') {
    const text = stringOf(source['data']) ?? contentText(source, at, losses);
    return [{ type: 'document', source: { type: 'text', text }, title, at, cache }];
  }
  const media = mediaOf(source, at, losses);
  return media === undefined ? [] : [{ type: 'document', source: media, title, at, cache }];
}

/** The text of a document that is given as blocks. */
function contentText(source: JsonRecord, at: string, losses: Losses): string {
  const parts = readBlocks(new RequestFields(source, losses, `${at}.source.`), 'content', `${at}.source.`, losses);
  if (parts.some(({ type }) => type !== 'text')) {
    losses.unsupported(`${at}.source.content`, 'Use text');
  }
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('\n');
}
