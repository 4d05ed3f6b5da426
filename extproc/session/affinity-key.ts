/**
 * Tells client sessions apart, so that the requests of one can stay with the backend that has their
 * prompt in its cache. Pure.
 */
import { createHash, type Hash } from 'node:crypto';
import { newScanner } from '../json/json-tokenizer.ts';
import type { JsonMatch, MatchesByPath, ScannedBody } from '../json/scanner.ts';
import type { Shape } from '../json/shape.ts';
import type { Dialect } from '../providers/adapter.ts';
import type { AgentIds } from '../record.ts';

const VALUE: Shape = { value: true };
const CONTENT: Shape = { value: true, items: { object: { text: VALUE } } };
const MESSAGES: Shape = { value: true, items: { value: true, object: { role: VALUE, content: CONTENT } } };

const PARTS: Shape = { object: { parts: CONTENT } };
const CONTENTS: Shape = { value: true, items: { value: true, object: { role: VALUE, parts: CONTENT } } };

/** The members of all client APIs, whose meanings do not conflict. */
const SHAPE: Shape = {
  object: {
    prompt_cache_key: VALUE,
    user: VALUE,
    metadata: { object: { user_id: VALUE } },
    system: CONTENT,
    instructions: CONTENT,
    messages: MESSAGES,
    input: MESSAGES,
    prompt: VALUE,
    inputs: VALUE,
    contents: CONTENTS,
    systemInstruction: PARTS,
    system_instruction: PARTS,
  },
};

/** Instructions and first messages that begin alike for longer count as one session. */
const MAX_DIGESTED_BYTES = 16 * 1024;

/** What the headers of a request tell. */
interface AffinitySource {
  readonly agent: AgentIds | undefined;
  readonly dialect: Dialect;
}

/**
 * Returns a key that the requests of one client session share, and only those of its tenant.
 * Undefined where the request shows none: a session of an agent, a cache key, a user or a first
 * message. The request shape of the APIs does not name these members, because it refuses repeated
 * ones.
 */
export function affinityKey(
  { agent, dialect }: AffinitySource,
  tenant: string | undefined,
  model: string,
  body: ScannedBody,
): string | undefined {
  const session = agent?.sessionId;
  const key = session === undefined ? keyInBody(dialect, model, body) : `session\0${session}`;
  return key === undefined ? undefined : `${tenant ?? ''}\0${key}`;
}

function keyInBody(dialect: Dialect, model: string, body: ScannedBody): string | undefined {
  const scanner = newScanner(SHAPE, { purpose: 'answer' });
  for (const piece of body.bytes) {
    if (scanner.push(piece) !== undefined) {
      break;
    }
  }
  const userAt = dialect.name === 'anthropic' ? 'metadata.user_id' : 'user';
  const key = member(scanner, 'prompt_cache_key') ?? member(scanner, userAt) ?? promptKey(scanner, model, body.bytes);
  scanner.release();
  return key;
}

/** Very long values count as absent. */
function member(found: MatchesByPath, path: string): string | undefined {
  const value = found.one(path)?.value;
  return typeof value === 'string' && value !== '' ? `${path}\0${value}` : undefined;
}

/** Returns a digest of the model, the instructions and the first message. */
function promptKey(found: MatchesByPath, model: string, bytes: readonly Uint8Array[]): string | undefined {
  const { instructions, opening } = promptStart(found);
  if (opening.length === 0) {
    return undefined;
  }
  const digest = createHash('sha256').update(`${model}\0`);
  addTo(digest, instructions, bytes);
  addTo(digest, opening, bytes);
  return `prompt\0${digest.digest('base64url')}`;
}

const INSTRUCTIONS = ['system', 'instructions', 'systemInstruction.parts', 'system_instruction.parts'];

interface PromptStart {
  readonly instructions: readonly JsonMatch[];
  /** Empty if there is none that further requests would repeat. */
  readonly opening: readonly JsonMatch[];
}

/** Finds the texts before the second message; markers for caches, which move, are left out. */
function promptStart(found: MatchesByPath): PromptStart {
  const instructions = INSTRUCTIONS.flatMap((path) => textsAt(found, path));
  const path = ['messages', 'contents'].find((each) => found.count(`${each}[]`) > 0) ?? 'input';
  const member = path === 'contents' ? '.parts' : '.content';
  const first = firstMessage(found, path);
  if (first === undefined) {
    const opening = ['prompt', 'inputs', 'input'].flatMap((each) => stringsAt(found, each));
    return { instructions, opening };
  }
  const texts = textsAt(found, `${path}[]`, member);
  const own = texts.filter((text) => isWithin(text, first));
  return {
    instructions: [...instructions, ...texts.filter(({ end }) => end <= first.start)],
    // A message without text, such as an image.
    opening: own.length > 0 ? own : found.all(`${path}[]${member}`).filter((content) => isWithin(content, first)),
  };
}

/** Returns the first message that is not an instruction. */
function firstMessage(found: MatchesByPath, path: string): JsonMatch | undefined {
  const instructed = new Set<number>();
  for (const { element, value } of found.all(`${path}[].role`)) {
    if (value === 'system' || value === 'developer') {
      instructed.add(element);
    }
  }
  return found.all(`${path}[]`).find(({ element }) => !instructed.has(element));
}

/** Returns a string, or the texts of its parts. */
function textsAt(found: MatchesByPath, path: string, member = ''): readonly JsonMatch[] {
  const whole = stringsAt(found, `${path}${member}`);
  const parts = stringsAt(found, `${path}${member}[].text`);
  return [...whole, ...parts].toSorted((one, other) => one.start - other.start);
}

function stringsAt(found: MatchesByPath, path: string): readonly JsonMatch[] {
  return found.all(path).filter(({ kind }) => kind === 'string');
}

function isWithin({ start, end }: JsonMatch, outer: JsonMatch): boolean {
  return start >= outer.start && end <= outer.end;
}

function addTo(digest: Hash, matches: readonly JsonMatch[], pieces: readonly Uint8Array[]): void {
  let left = MAX_DIGESTED_BYTES;
  for (const { start, end } of matches) {
    const to = Math.min(end, start + left);
    let before = 0;
    for (const piece of pieces) {
      if (before >= to) {
        break;
      }
      if (before + piece.length > start) {
        digest.update(piece.subarray(Math.max(0, start - before), to - before));
      }
      before += piece.length;
    }
    left -= to - start;
  }
  digest.update('\0');
}
