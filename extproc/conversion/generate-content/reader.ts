/** Reads requests of generateContent: https://ai.google.dev/api/generate-content */
import { plainTier } from '../../providers/gemini/usage.ts';
import type { Conversation, JsonRecord, TextPart } from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { readConfig } from './config.ts';
import { ContentsReader } from './contents.ts';
import { camelMembers, listed, noteOthers } from './members.ts';
import { readTools } from './tools.ts';

const KNOWN: ReadonlySet<string> = new Set([
  ...['contents', 'systemInstruction', 'tools', 'toolConfig', 'generationConfig', 'serviceTier', 'store'],
]);

/** Filters of the provider, and names for its bills. */
const HINTS: ReadonlySet<string> = new Set(['safetySettings', 'labels', 'modelArmorConfig']);

export function readContent(document: unknown, losses: Losses): Conversation {
  const body = camelMembers(recordOf(document) ?? {});
  noteOthers(body, '', KNOWN, HINTS, losses);
  if ((plainTier(body['serviceTier']) ?? 'standard') !== 'standard') {
    losses.unsupported('serviceTier');
  }
  if (body['contents'] === undefined) {
    losses.invalid('contents', 'is missing');
  }
  const reader = new ContentsReader(losses);
  return {
    system: systemOf(body, losses),
    messages: listed(body['contents']).map((content, index) => reader.message(content, `contents[${index}]`)),
    ...readTools(body, losses),
    ...readConfig(body['generationConfig'], losses),
    parallelTools: true,
    cache: undefined,
    user: undefined,
  };
}

/** A content, whose role says nothing, or a text. */
function systemOf({ systemInstruction: given }: JsonRecord, losses: Losses): readonly TextPart[] {
  const parts = typeof given === 'string' ? [{ text: given }] : listed(recordOf(given)?.['parts']);
  return parts.flatMap((part, index): readonly TextPart[] => {
    const text = stringOf(recordOf(part)?.['text']);
    if (text === undefined) {
      losses.unsupported(`systemInstruction.parts[${index}]`, 'Use text');
    }
    return text === undefined || text === '' ? [] : [{ type: 'text', text }];
  });
}
