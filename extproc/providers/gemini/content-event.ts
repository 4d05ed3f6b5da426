/**
 * Reads one event of a stream of generateContent, which is a whole response with the next parts:
 * https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
 */
import type { JsonCursor } from '../../json/cursor.ts';
import { eachText, mayBeText } from '../unknown-text.ts';
import { toldTokens, type UsageNumbers } from '../usage.ts';
import { geminiTier } from './usage.ts';

const TEXT = 0;
const CALL = 1;
const OTHER = 2;
const CHANNELS_OF_A_CANDIDATE = 3;

/** The API's limit for `candidateCount` is 8. */
const MAX_CANDIDATE = 127;

/** A text of the model, between its quotes. */
export interface TextHole {
  readonly start: number;
  readonly end: number;
  readonly channel: number;
}

/** Members of a part that no model writes, or that are no text. */
const NO_TEXT: ReadonlySet<string> = new Set([
  'thoughtSignature',
  'inlineData',
  'fileData',
  'functionResponse',
  'codeExecutionResult',
  'toolResponse',
  'videoMetadata',
]);

export class ContentEvent {
  readonly holes: TextHole[] = [];
  /** Candidates that say why they end. */
  readonly finished: number[] = [];
  /** Why they end. */
  readonly reasons: string[] = [];
  usage: UsageNumbers | undefined;
  responseId = '';
  model = '';
  serviceTier: string | undefined;
  blocked = false;
  failed = false;
  #cursor!: JsonCursor;

  /** Reads the document at the cursor. Returns false if it is not a JSON object. */
  read(cursor: JsonCursor): boolean {
    this.#cursor = cursor;
    this.clear();
    if (!cursor.enterObject()) {
      return false;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'candidates':
          this.#readCandidates();
          break;
        case 'usageMetadata':
          this.#readUsage();
          break;
        case 'modelVersion':
          this.model = this.#string();
          break;
        case 'responseId':
          this.responseId = this.#string();
          break;
        case 'promptFeedback':
          this.#readFeedback();
          break;
        case 'error':
          this.failed = cursor.isObject();
          cursor.skip();
          break;
        default:
          cursor.skip();
      }
    }
    return !cursor.broken;
  }

  clear(): void {
    this.holes.length = 0;
    this.finished.length = 0;
    this.reasons.length = 0;
    this.usage = undefined;
    this.responseId = '';
    this.model = '';
    this.serviceTier = undefined;
    this.blocked = false;
    this.failed = false;
  }

  #readCandidates(): void {
    const cursor = this.#cursor;
    if (!cursor.enterArray()) {
      return;
    }
    while (cursor.nextElement()) {
      if (cursor.enterObject()) {
        this.#readCandidate();
      }
    }
  }

  /** The index may follow the content. */
  #readCandidate(): void {
    const cursor = this.#cursor;
    const first = this.holes.length;
    let index = 0;
    let reason: string | undefined;
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'content':
          this.#readContent();
          break;
        case 'finishReason':
          reason = this.#string();
          break;
        case 'index':
          index = candidateIndex(cursor.number());
          break;
        default:
          cursor.skip();
      }
    }
    if (index > 0) {
      for (let at = first; at < this.holes.length; at++) {
        const { start, end, channel } = this.holes[at] as TextHole;
        this.holes[at] = { start, end, channel: channel + index * CHANNELS_OF_A_CANDIDATE };
      }
    }
    if (reason !== undefined && isReason(reason)) {
      this.finished.push(index);
      this.reasons.push(reason);
    }
  }

  #readContent(): void {
    const cursor = this.#cursor;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      if (cursor.key !== 'parts' || !cursor.enterArray()) {
        if (cursor.key !== 'parts') {
          cursor.skip();
        }
        continue;
      }
      while (cursor.nextElement()) {
        if (cursor.enterObject()) {
          this.#readPart();
        }
      }
    }
  }

  #readPart(): void {
    const cursor = this.#cursor;
    while (cursor.nextMember()) {
      const { key } = cursor;
      if (key === 'text') {
        this.#text(TEXT);
      } else if (key === 'functionCall') {
        this.#text(CALL);
      } else if (!NO_TEXT.has(key) && mayBeText(key)) {
        this.#text(OTHER);
      } else {
        cursor.skip();
      }
    }
  }

  #readUsage(): void {
    const cursor = this.#cursor;
    const numbers = new Map<string, number>();
    let tier = '';
    let traffic = '';
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      const { key } = cursor;
      if (cursor.isArray()) {
        this.#readModalities(key, numbers);
      } else if (key === 'serviceTier') {
        tier = this.#string();
      } else if (key === 'trafficType') {
        traffic = this.#string();
      } else {
        note(numbers, key, cursor.number());
      }
    }
    this.usage = numbers;
    this.serviceTier = geminiTier(tier, traffic);
  }

  /** `[{"modality": "TEXT", "tokenCount": 5}]` */
  #readModalities(side: string, numbers: Map<string, number>): void {
    const cursor = this.#cursor;
    cursor.enterArray();
    while (cursor.nextElement()) {
      let modality = '';
      let tokens: number | undefined;
      if (!cursor.enterObject()) {
        continue;
      }
      while (cursor.nextMember()) {
        if (cursor.key === 'modality') {
          modality = this.#string();
        } else if (cursor.key === 'tokenCount') {
          tokens = cursor.number();
        } else {
          cursor.skip();
        }
      }
      note(numbers, `${side}.${modality}`, tokens);
    }
  }

  #readFeedback(): void {
    const cursor = this.#cursor;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      if (cursor.key === 'blockReason') {
        this.blocked = this.#string() !== '';
      } else {
        cursor.skip();
      }
    }
  }

  #string(): string {
    return this.#cursor.string() ? this.#cursor.decoded() : '';
  }

  #text(channel: number): void {
    const cursor = this.#cursor;
    if (!cursor.isString()) {
      eachText(cursor, () => this.#hole(channel));
    } else if (cursor.string()) {
      this.#hole(channel);
    }
  }

  #hole(channel: number): void {
    const { textStart, textEnd } = this.#cursor;
    this.holes.push({ start: textStart, end: textEnd, channel });
  }
}

export function isReason(reason: unknown): boolean {
  return typeof reason === 'string' && reason !== '' && reason !== 'FINISH_REASON_UNSPECIFIED';
}

export function candidateIndex(value: unknown): number {
  return Math.min(toldTokens(value) ?? 0, MAX_CANDIDATE);
}

/** Usage objects have some ten numbers; further ones are ignored. */
const MAX_NUMBERS = 64;

function note(numbers: Map<string, number>, name: string, value: number | undefined): void {
  const tokens = toldTokens(value);
  if (tokens !== undefined && numbers.size < MAX_NUMBERS) {
    numbers.set(name, tokens);
  }
}
