/**
 * A request in the form between the client APIs and the provider APIs. Client readers create
 * it, provider encoders turn it into a request of their API. It keeps the order of everything.
 */

export interface Conversation {
  /** All instructions that outrank the user's, in order. */
  readonly system: readonly TextPart[];
  readonly messages: readonly ConversationMessage[];
  readonly tools: readonly ConversationTool[];
  readonly toolChoice: ToolChoice;
  /** False: at most one tool call in a response. */
  readonly parallelTools: boolean;
  readonly output: OutputFormat;
  readonly sampling: Sampling;
  readonly stops: readonly string[];
  readonly reasoning: ReasoningWish | undefined;
  /** Caching of the whole prompt, beside the breakpoints of its parts. */
  readonly cache: CacheHint | undefined;
  /** An id of the end user that the provider may use against abuse. */
  readonly user: string | undefined;
}

/** Tool results are parts of user messages. Messages of one role may follow one another. */
export interface ConversationMessage {
  readonly role: 'user' | 'assistant';
  readonly parts: readonly ConversationPart[];
}

export type ConversationPart =
  | TextPart
  | ImagePart
  | DocumentPart
  | AudioPart
  | ToolCallPart
  | ToolResultPart
  | ReasoningPart
  | RefusalPart;

/** What every part may have. */
interface PartBase {
  /** The prompt up to this part is to be cached. */
  readonly cache?: CacheHint | undefined;
}

export interface TextPart extends PartBase {
  readonly type: 'text';
  readonly text: string;
}

export interface ImagePart extends PartBase {
  readonly type: 'image';
  readonly source: MediaSource;
  /** OpenAI's level of detail. */
  readonly detail?: string | undefined;
  /** The field of the client's body, for refusals. */
  readonly at: string;
}

export interface DocumentPart extends PartBase {
  readonly type: 'document';
  readonly source: MediaSource | DocumentText;
  readonly title?: string | undefined;
  readonly at: string;
}

export interface AudioPart extends PartBase {
  readonly type: 'audio';
  /** Base64. */
  readonly data: string;
  /** Such as `mp3` or `wav`. */
  readonly format: string;
  readonly at: string;
}

export type MediaSource =
  | { readonly type: 'base64'; readonly mediaType: string; readonly data: string }
  | { readonly type: 'url'; readonly url: string };

interface DocumentText {
  readonly type: 'text';
  readonly text: string;
}

export interface ToolCallPart extends PartBase {
  readonly type: 'tool-call';
  readonly id: string;
  readonly name: string;
  /** JSON text as the model wrote it, which need not be valid. */
  readonly arguments: string;
  /** Signs the reasoning before the call (Gemini). */
  readonly signature?: string | undefined;
}

export interface ToolResultPart extends PartBase {
  readonly type: 'tool-result';
  readonly callId: string;
  readonly parts: readonly (TextPart | ImagePart | DocumentPart)[];
  readonly isError: boolean;
}

/** Reasoning of an earlier response, which the client echoes. */
export interface ReasoningPart {
  readonly type: 'reasoning';
  readonly text: string;
  readonly signature?: string | undefined;
  /** Encrypted reasoning in place of the text. */
  readonly redacted?: string | undefined;
}

export interface RefusalPart {
  readonly type: 'refusal';
  readonly text: string;
}

export interface ConversationTool {
  readonly name: string;
  readonly description: string | undefined;
  /** A JSON schema. */
  readonly parameters: JsonRecord;
  /** Arguments must match the schema; undefined: as the provider does by default. */
  readonly strict: boolean | undefined;
  readonly cache?: CacheHint | undefined;
}

export type ToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'tool'; readonly name: string };

export type OutputFormat =
  | { readonly type: 'text' | 'json' }
  | {
      readonly type: 'schema';
      readonly name: string;
      readonly description?: string | undefined;
      readonly schema: JsonRecord;
      readonly strict: boolean | undefined;
    };

/** Parameters that are not the provider's defaults. */
export interface Sampling {
  /** From 0 to 2, as in OpenAI's API; 1 is the default everywhere. */
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly seed?: number | undefined;
  readonly logitBias?: JsonRecord | undefined;
  /** How many alternatives of each token to report; 0: only the chosen one. */
  readonly logprobs?: number | undefined;
}

/** `budget`: tokens at most. `adaptive`: the model decides. */
export type ReasoningWish =
  | { readonly type: 'off' }
  | { readonly type: 'adaptive' }
  | { readonly type: 'effort'; readonly effort: ReasoningEffort }
  | { readonly type: 'budget'; readonly tokens: number };

export type ReasoningEffort = 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max';

export interface CacheHint {
  readonly lifetime: 'short' | 'long';
}

export type JsonRecord = Readonly<Record<string, unknown>>;

/** Parts of a request that not every provider takes; each client API has its names for them. */
export type OptionalField =
  | 'choices'
  | 'parallelTools'
  | 'toolChoice'
  | 'output'
  /** Output in JSON without a schema. */
  | 'json'
  | 'temperature'
  | 'topP'
  | 'topK'
  | 'frequencyPenalty'
  | 'presencePenalty'
  | 'seed'
  | 'logitBias'
  | 'logprobs'
  | 'stops'
  | 'reasoning'
  | 'cache'
  | 'user'
  /** Reasoning that the client echoes. */
  | 'echoedReasoning'
  | 'callSignature'
  | 'resultError';
