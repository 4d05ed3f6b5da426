/** The messages of a Converse request: turns alternate, and the results of tools come first. */
import { toolId } from '../anthropic/messages.ts';
import type {
  ConversationMessage,
  ConversationPart,
  DocumentPart,
  ImagePart,
  JsonRecord,
  ReasoningPart,
  ToolCallPart,
  ToolResultPart,
} from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import type { CachePoints } from './cache-points.ts';

const images: ReadonlyMap<string, string> = new Map([
  ['image/jpeg', 'jpeg'],
  ['image/png', 'png'],
  ['image/gif', 'gif'],
  ['image/webp', 'webp'],
]);

const documents: ReadonlyMap<string, string> = new Map([
  ['application/pdf', 'pdf'],
  ['text/csv', 'csv'],
  ['text/html', 'html'],
  ['text/markdown', 'md'],
  ['text/plain', 'txt'],
  ['application/msword', 'doc'],
  ['application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'docx'],
  ['application/vnd.ms-excel', 'xls'],
  ['application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', 'xlsx'],
]);

const MAX_TOOL_ID_CHARACTERS = 64;
const MAX_DOCUMENT_NAME_CHARACTERS = 150;

type Turn = { readonly role: string; readonly content: JsonRecord[] };

export function converseMessages(
  messages: readonly ConversationMessage[],
  caches: CachePoints,
  losses: Losses,
): readonly Turn[] {
  const blocks = new ContentBlocks(caches, losses);
  const turns: Turn[] = [];
  for (const { role, parts } of messages) {
    const sorted = role === 'user' ? resultsFirst(parts) : parts;
    const content = sorted.flatMap((part) => blocks.of(part));
    const last = turns.at(-1);
    if (last?.role === role) {
      last.content.push(...content);
    } else if (content.length > 0) {
      turns.push({ role, content });
    }
  }
  return turns;
}

function resultsFirst(parts: readonly ConversationPart[]): readonly ConversationPart[] {
  return [...parts.filter(({ type }) => type === 'tool-result'), ...parts.filter(({ type }) => type !== 'tool-result')];
}

class ContentBlocks {
  readonly #caches: CachePoints;
  readonly #losses: Losses;
  /** Names of documents, which must differ within a request. */
  readonly #names = new Set<string>();

  constructor(caches: CachePoints, losses: Losses) {
    this.#caches = caches;
    this.#losses = losses;
  }

  of(part: ConversationPart): readonly JsonRecord[] {
    const block = this.#block(part);
    const hint = 'cache' in part ? part.cache : undefined;
    return block === undefined ? [] : [block, ...this.#caches.after(hint, block)];
  }

  #block(part: ConversationPart): JsonRecord | undefined {
    switch (part.type) {
      case 'text':
      case 'refusal':
        // The API refuses empty text.
        return part.text.trim() === '' ? undefined : { text: part.text };
      case 'image':
        return this.#image(part);
      case 'document':
        return this.#document(part);
      case 'audio':
        this.#losses.unsupported(part.at);
        return undefined;
      case 'reasoning':
        return this.#reasoning(part);
      case 'tool-call':
        this.#losses.callSignature(part.signature);
        return toolUse(part);
      case 'tool-result':
        return this.#toolResult(part);
      default:
        return part satisfies never;
    }
  }

  #image({ source, at }: ImagePart): JsonRecord | undefined {
    if (source.type === 'url') {
      this.#losses.unsupported(at, 'Send the image as base64 data');
      return undefined;
    }
    const format = images.get(source.mediaType);
    if (format === undefined) {
      this.#losses.unsupported(at, 'Send JPEG, PNG, GIF or WebP');
      return undefined;
    }
    return { image: { format, source: { bytes: source.data } } };
  }

  #document({ source, title, at }: DocumentPart): JsonRecord | undefined {
    if (source.type === 'url') {
      this.#losses.unsupported(at, 'Send the document as base64 data');
      return undefined;
    }
    const text = source.type === 'text';
    const format = text ? 'txt' : documents.get(source.mediaType);
    if (format === undefined) {
      this.#losses.unsupported(at, 'Send PDF, Word, Excel, CSV, HTML, Markdown or plain text');
      return undefined;
    }
    const bytes = text ? Buffer.from(source.text).toString('base64') : source.data;
    return { document: { format, name: this.#documentName(title), source: { bytes } } };
  }

  /** The API allows few characters in names, and no two spaces in a row. */
  #documentName(title = ''): string {
    const allowed = title
      .replace(/[^A-Za-z0-9()[\]-]+/g, ' ')
      .trim()
      .slice(0, MAX_DOCUMENT_NAME_CHARACTERS);
    const name = allowed || 'document';
    let unique = name;
    for (let count = 2; this.#names.has(unique); count++) {
      unique = `${name} ${count}`;
    }
    this.#names.add(unique);
    return unique;
  }

  /** The API verifies signatures, so reasoning of other providers stays behind. */
  #reasoning({ text, signature, redacted }: ReasoningPart): JsonRecord | undefined {
    if (redacted !== undefined) {
      return { reasoningContent: { redactedContent: redacted } };
    }
    if (signature === undefined) {
      this.#losses.hintOption('echoedReasoning');
      return undefined;
    }
    return { reasoningContent: { reasoningText: { text, signature } } };
  }

  #toolResult({ callId, parts, isError }: ToolResultPart): JsonRecord {
    const content = parts.flatMap((part) => this.#block(part) ?? []);
    return { toolResult: { toolUseId: toolUseId(callId), content, ...(isError && { status: 'error' }) } };
  }
}

function toolUse({ id, name, arguments: text }: ToolCallPart): JsonRecord {
  const input = text.trim() === '' ? {} : parsedRecord(text);
  return { toolUse: { toolUseId: toolUseId(id), name, input: input ?? { INVALID_JSON: text } } };
}

/** The end of a long id differs, where its start may not. */
function toolUseId(id: string): string {
  return toolId(id).slice(-MAX_TOOL_ID_CHARACTERS);
}
