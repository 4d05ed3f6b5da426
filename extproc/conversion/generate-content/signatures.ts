/**
 * Carries what another API signs through the thought signatures of this one, which clients echo
 * with their part: the reasoning before a part, with its signature, and the signature of a call.
 */
import type { JsonRecord } from '../conversation.ts';
import { listOf, parsedJson, recordOf, stringOf } from '../json-values.ts';

/** Tells our signatures from those of Gemini, which no other API can read. */
const PREFIX = 'tallygate:';

/** Signed reasoning is some 100 KB at most. */
const MAX_SIGNATURE_CHARACTERS = 4 * 1024 * 1024;

export type SignedThought =
  | { readonly type: 'reasoning'; readonly text: string; readonly signature: string }
  | { readonly type: 'redacted'; readonly data: string }
  | { readonly type: 'call'; readonly signature: string };

/** Signatures are bytes, in base64. */
export function thoughtSignature(thoughts: readonly SignedThought[]): string | undefined {
  return thoughts.length === 0 ? undefined : Buffer.from(PREFIX + JSON.stringify(thoughts)).toString('base64');
}

/** Returns undefined for a signature that is not ours. */
export function readThoughtSignature(text: string): readonly SignedThought[] | undefined {
  // Python's client sends the alphabet for URLs, which is decoded, too.
  const decoded = text.length > MAX_SIGNATURE_CHARACTERS ? '' : Buffer.from(text, 'base64').toString();
  const list = decoded.startsWith(PREFIX) ? listOf(parsedJson(decoded.slice(PREFIX.length))) : undefined;
  return list?.map(recordOf).flatMap((each) => signedThought(each ?? {}));
}

function signedThought({ type, text, signature, data }: JsonRecord): readonly SignedThought[] {
  switch (type) {
    case 'reasoning':
      return [{ type, text: stringOf(text) ?? '', signature: stringOf(signature) ?? '' }];
    case 'redacted':
      return [{ type, data: stringOf(data) ?? '' }];
    case 'call':
      return [{ type, signature: stringOf(signature) ?? '' }];
    default:
      return [];
  }
}
