/** Gemini's `embedContent` and `batchEmbedContents` as the client's side of conversions. */
import { googleDialect } from '../../providers/gemini/errors.ts';
import type { JsonRecord } from '../conversation.ts';
import type { DocumentClient, DocumentDetails } from '../documents/documents.ts';
import { camelMembers, listed, noteOthers } from '../generate-content/members.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import {
  type EmbeddingForm,
  type EmbeddingPurpose,
  type EmbeddingRequest,
  type Embeddings,
  embeddingPurposes,
} from './embedding-request.ts';
import { tasks } from './gemini.ts';

type ContentEmbedClient = DocumentClient<EmbeddingRequest, EmbeddingForm, Embeddings>;

const OPTIONS = ['taskType', 'title', 'outputDimensionality'];
const known: ReadonlySet<string> = new Set(['model', 'content', 'embedContentConfig', ...OPTIONS]);
const knownOptions: ReadonlySet<string> = new Set(OPTIONS);
const knownOfBatch: ReadonlySet<string> = new Set(['requests']);
const noHints: ReadonlySet<string> = new Set();

const base = {
  dialect: googleDialect,
  kept: ({ texts }: EmbeddingRequest) => ({ count: texts.length, base64: false }),
};

export const embedContentClient: ContentEmbedClient = {
  ...base,
  read: (document, losses) => joined([readOne(document, '', losses)], 'content', '', losses),
  document: ([values], _kept, details) => ({ embedding: { values }, ...usageMember(details) }),
};

export const batchEmbedClient: ContentEmbedClient = {
  ...base,
  read: readBatch,
  document: (vectors, _kept, details) => ({
    embeddings: vectors.map((values) => ({ values })),
    ...usageMember(details),
  }),
};

/** One text to embed. */
interface ContentEmbedding {
  readonly text: string;
  readonly dimensions: number | undefined;
  readonly purpose: EmbeddingPurpose | undefined;
}

function readBatch(document: JsonRecord, losses: Losses): EmbeddingRequest {
  const members = camelMembers(document);
  noteOthers(members, '', knownOfBatch, noHints, losses);
  const fields = new RequestFields({ requests: listed(members['requests']) }, losses);
  const each = fields.records('requests').map(({ object, at }) => readOne(object, `${at}.`, losses));
  if (each.length === 0) {
    losses.invalid('requests', 'must have at least one request');
  }
  return joined(each, 'requests', 'requests.', losses);
}

/** The request of a backend has one size and one purpose for all texts. */
function joined(each: readonly ContentEmbedding[], texts: string, at: string, losses: Losses): EmbeddingRequest {
  const names = { texts, dimensions: `${at}outputDimensionality`, purpose: `${at}taskType` };
  const [first] = each;
  for (const name of ['dimensions', 'purpose'] as const) {
    if (each.some((one) => one[name] !== first?.[name])) {
      losses.invalid(names[name], 'must be the same in all requests, because the backend takes one');
    }
  }
  return {
    texts: each.map(({ text }) => text),
    dimensions: first?.dimensions,
    purpose: first?.purpose,
    base64: false,
    names,
  };
}

function readOne(request: JsonRecord, at: string, losses: Losses): ContentEmbedding {
  const members = camelMembers(request);
  noteOthers(members, at, known, noHints, losses);
  const config = camelMembers(recordOf(members['embedContentConfig']) ?? {});
  noteOthers(config, `${at}embedContentConfig.`, knownOptions, noHints, losses);
  const fields = new RequestFields({ ...config, ...members }, losses, at);
  if (fields.any('title') !== undefined) {
    losses.unsupported(`${at}title`);
  }
  const dimensions = fields.number('outputDimensionality');
  if (dimensions !== undefined && !(Number.isInteger(dimensions) && dimensions > 0)) {
    losses.invalid(`${at}outputDimensionality`, 'must be a whole number of at least 1');
  }
  return {
    text: textOf(fields.record('content'), at, losses),
    dimensions,
    purpose: purposeOf(fields.text('taskType'), at, losses),
  };
}

/** Other providers embed one text, and no media. */
function textOf(content: JsonRecord | undefined, at: string, losses: Losses): string {
  const parts = listed(content?.['parts']);
  const part = recordOf(parts[0]);
  const text = stringOf(part?.['text']);
  if (parts.length !== 1 || text === undefined || Object.keys(part!).length > 1) {
    losses.invalid(`${at}content`, 'must have one part, a text, because the backend embeds nothing else');
  }
  return text ?? '';
}

const UNSPECIFIED = 'TASK_TYPE_UNSPECIFIED';

function purposeOf(task: string | undefined, at: string, losses: Losses): EmbeddingPurpose | undefined {
  const purpose = embeddingPurposes.find((each) => tasks[each] === task);
  if (purpose === undefined && task !== undefined && task !== UNSPECIFIED) {
    losses.unsupported(`${at}taskType`);
  }
  return purpose;
}

function usageMember({ inputTokens }: DocumentDetails): object {
  return { usageMetadata: { promptTokenCount: inputTokens } };
}
