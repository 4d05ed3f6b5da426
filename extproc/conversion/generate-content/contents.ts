/** Reads the contents of a request, in order: calls of functions come before their results. */
import type {
  ConversationMessage,
  ConversationPart,
  DocumentPart,
  ImagePart,
  JsonRecord,
  MediaSource,
  ToolCallPart,
} from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { camelMembers, listed } from './members.ts';
import { readThoughtSignature, type SignedThought } from './signatures.ts';

/** What a part is; the other members say something about it. */
const CONTENTS = ['text', 'inlineData', 'fileData', 'functionCall', 'functionResponse'] as const;

const AUDIO = /^audio\/(?:x-)?([a-z0-9]+)/;

export class ContentsReader {
  readonly #losses: Losses;
  /** Calls that have no result yet. */
  readonly #open: Pick<ToolCallPart, 'id' | 'name'>[] = [];
  #calls = 0;

  constructor(losses: Losses) {
    this.#losses = losses;
  }

  message(content: unknown, at: string): ConversationMessage {
    const { role = 'user', parts } = recordOf(content) ?? {};
    if (role !== 'user' && role !== 'model' && role !== 'function') {
      this.#losses.invalid(`${at}.role`, 'must be user or model');
    }
    const read = listed(parts).map((part) => camelMembers(recordOf(part) ?? {}));
    const isSigned = read.some(({ thoughtSignature }) => ownThoughts(thoughtSignature) !== undefined);
    if (!isSigned && read.some(({ thought }) => thought === true)) {
      this.#losses.hint('contents.parts.thought');
    }
    return {
      role: role === 'model' ? 'assistant' : 'user',
      parts: read.flatMap((part, index) => this.#part(part, `${at}.parts[${index}]`)),
    };
  }

  /** A thought is a summary for the reader; the signatures have what the model continues from. */
  #part(part: JsonRecord, at: string): readonly ConversationPart[] {
    if (part['thought'] === true) {
      return [];
    }
    const thoughts = ownThoughts(part['thoughtSignature']);
    if (thoughts === undefined && part['thoughtSignature'] !== undefined) {
      this.#losses.hint('contents.parts.thoughtSignature');
    }
    return [...(thoughts ?? []).flatMap(reasoningPart), ...this.#content(part, at, thoughts ?? [])];
  }

  #content(part: JsonRecord, at: string, thoughts: readonly SignedThought[]): readonly ConversationPart[] {
    const kind = CONTENTS.find((name) => part[name] !== undefined);
    switch (kind) {
      case undefined:
        return this.#unknown(part, at);
      case 'text': {
        const text = stringOf(part['text']) ?? '';
        return text === '' ? [] : [{ type: 'text', text }];
      }
      case 'inlineData':
      case 'fileData':
        return this.#media(part, at);
      case 'functionCall':
        return [this.#call(camelMembers(recordOf(part['functionCall']) ?? {}), thoughts)];
      case 'functionResponse':
        return this.#result(camelMembers(recordOf(part['functionResponse']) ?? {}), `${at}.functionResponse`);
      default:
        return kind satisfies never;
    }
  }

  /** Code and calls that the provider has run itself. */
  #unknown(part: JsonRecord, at: string): readonly ConversationPart[] {
    const name = Object.keys(part).find((each) => each !== 'thoughtSignature' && each !== 'thought');
    if (name !== undefined) {
      this.#losses.unsupported(`${at}.${name}`, 'Remove the part');
    }
    return [];
  }

  #media(part: JsonRecord, at: string): readonly (ImagePart | DocumentPart | ConversationPart)[] {
    const inline = camelMembers(recordOf(part['inlineData']) ?? {});
    const file = camelMembers(recordOf(part['fileData']) ?? {});
    const type = (stringOf(inline['mimeType'] ?? file['mimeType']) ?? '').toLowerCase();
    const data = stringOf(inline['data'])?.replaceAll('-', '+').replaceAll('_', '/');
    const source = data === undefined ? this.#file(file, at) : { type: 'base64' as const, mediaType: type, data };
    if (source === undefined) {
      return [];
    }
    const title = stringOf(inline['displayName'] ?? file['displayName']);
    if (type.startsWith('image/')) {
      return [{ type: 'image', source, at }];
    }
    if (type === 'application/pdf' || type.startsWith('text/')) {
      return [{ type: 'document', source, ...(title !== undefined && { title }), at }];
    }
    const format = AUDIO.exec(type)?.[1];
    if (format === undefined || data === undefined) {
      this.#losses.unsupported(at, 'Send an image, a document or the contents of an audio file');
      return [];
    }
    return [{ type: 'audio', data, format: format === 'mpeg' ? 'mp3' : format, at }];
  }

  /** Files of Google's own storage are out of reach of other providers. */
  #file({ fileUri }: JsonRecord, at: string): MediaSource | undefined {
    const url = URL.parse(stringOf(fileUri) ?? '');
    if (url === null || !/^https?:$/.test(url.protocol) || url.hostname.endsWith('.googleapis.com')) {
      this.#losses.unsupported(`${at}.fileData`, 'Send the contents in inlineData, or a public URL');
      return undefined;
    }
    return { type: 'url', url: url.href };
  }

  #call({ id, name, args }: JsonRecord, thoughts: readonly SignedThought[]): ToolCallPart {
    const call = {
      id: stringOf(id) || `call_${this.#calls}`,
      name: stringOf(name) ?? '',
    };
    this.#calls++;
    this.#open.push(call);
    const signature = thoughts.find((thought) => thought.type === 'call')?.signature;
    return {
      type: 'tool-call',
      ...call,
      arguments: JSON.stringify(recordOf(args) ?? {}),
      ...(signature !== undefined && { signature }),
    };
  }

  /** Results name their call by its id, or else by the name of its function. */
  #result({ id, name, response, parts }: JsonRecord, at: string): readonly ConversationPart[] {
    const byId = typeof id === 'string' ? this.#open.findIndex((call) => call.id === id) : -1;
    const place = byId >= 0 ? byId : this.#open.findIndex((call) => call.name === name);
    const [call] = place < 0 ? [] : this.#open.splice(place, 1);
    if (call === undefined) {
      this.#losses.invalid(at, 'is the result of a call that no content before it has');
      return [];
    }
    const media = listed(parts).flatMap((part, index) =>
      this.#media(camelMembers(recordOf(part) ?? {}), `${at}.parts[${index}]`),
    );
    const { text, isError } = resultText(recordOf(response) ?? {});
    return [
      {
        type: 'tool-result',
        callId: call.id,
        parts: [
          ...(text === '' ? [] : [{ type: 'text' as const, text }]),
          ...media.filter((part) => part.type === 'image' || part.type === 'document'),
        ],
        isError,
      },
    ];
  }
}

function ownThoughts(signature: unknown): readonly SignedThought[] | undefined {
  return typeof signature === 'string' ? readThoughtSignature(signature) : undefined;
}

function reasoningPart(thought: SignedThought): readonly ConversationPart[] {
  switch (thought.type) {
    case 'reasoning':
      return [{ type: 'reasoning', text: thought.text, signature: thought.signature }];
    case 'redacted':
      return [{ type: 'reasoning', text: '', redacted: thought.data }];
    default:
      return [];
  }
}

/** The reference wants the result in `output` and what failed in `error`; other forms are JSON. */
function resultText(response: JsonRecord): { readonly text: string; readonly isError: boolean } {
  const [only, ...others] = Object.entries(response);
  if (only === undefined || others.length > 0) {
    return { text: JSON.stringify(response), isError: false };
  }
  const [name, value] = only;
  const isError = name === 'error';
  const isPlain = isError || name === 'output' || name === 'result';
  return { text: isPlain && typeof value === 'string' ? value : JSON.stringify(isPlain ? value : response), isError };
}
