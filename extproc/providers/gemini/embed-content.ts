/** Gemini's `embedContent` and `batchEmbedContents`: https://ai.google.dev/api/embeddings */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { ClientApi, RequestAddress, RequestEdits, RequestFacts, Unbounded } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import { invalid } from '../request.ts';
import { absentStreamAdapter } from '../response-adapter.ts';
import { unaryReader } from '../unary.ts';
import { CONTENT, mediaTokensAt, pathModel } from './content-request.ts';
import { googleDialect } from './errors.ts';
import { embedsContentOnVertex } from './models.ts';
import { methodPath, methodPaths } from './paths.ts';
import { bothSpellings, spelledTwice } from './spelling.ts';
import { GEMINI_USAGE_SHAPE, scannedGeminiUsage } from './usage.ts';

const OPTIONS = {
  taskType: { value: true },
  title: { text: true },
  outputDimensionality: { value: true },
};

const requestShape: Shape = {
  object: {
    model: { value: true },
    content: CONTENT,
    ...OPTIONS,
    embedContentConfig: { object: OPTIONS },
  },
};

const documentShape: Shape = { object: { usageMetadata: GEMINI_USAGE_SHAPE } };

/** How the requests of a method are found in its body. */
interface EmbedMethod {
  readonly name: string;
  readonly shape: Shape;
  /** Where the members of a request are, with the final dot. */
  readonly at: readonly string[];
  /** Where the model may be named, besides the path. */
  readonly modelAt: readonly string[];
  readonly isMissingAt: NonNullable<ClientApi['isMissingAt']>;
}

const embedContent: EmbedMethod = {
  name: 'embedContent',
  shape: bothSpellings(requestShape),
  at: [''],
  modelAt: ['model'],
  isMissingAt: ({ schema }, model) => schema === 'GCPVertexAI' && !embedsContentOnVertex(model),
};

const batchEmbedContents: EmbedMethod = {
  name: 'batchEmbedContents',
  // The API takes a single request in place of a list.
  shape: bothSpellings({
    object: { model: { value: true }, requests: { ...requestShape, items: requestShape } },
  }),
  at: ['requests[].', 'requests.'],
  modelAt: ['model', 'requests[].model', 'requests.model'],
  isMissingAt: ({ schema }) => schema === 'GCPVertexAI',
};

const PARTS_AT = ['content.parts[]', 'content.parts'];
const TWICE = ['taskType', 'outputDimensionality', 'embedContentConfig'];

/** Google's names of models, except in paths. */
const PREFIX = 'models/';

/** Marks around a text, for models that add them. */
const CONTENT_TOKENS = 8;

function readRequest(
  body: ScannedBody,
  { path }: RequestAddress,
  { at, modelAt }: EmbedMethod,
): RequestFacts | Failure {
  const twice = spelledTwice(body, placesOf(at, TWICE));
  if (twice !== undefined) {
    return twice;
  }
  const model = pathModel(path);
  if (typeof model !== 'string') {
    return model;
  }
  const foreign = modelAt.find((place) =>
    body.all(place).some(({ value }) => value !== model && value !== PREFIX + model),
  );
  if (foreign !== undefined) {
    // The provider could prefer it to the path, which was routed.
    return invalid(foreign, 'differs from the model in the path');
  }
  const unbounded = new Set<Unbounded>();
  const mediaTokens = placesOf(at, PARTS_AT).reduce((sum, place) => sum + mediaTokensAt(body, place, unbounded), 0);
  const contents = placesOf(at, ['content']).reduce((sum, place) => sum + body.count(place), 0);
  return {
    model,
    stream: false,
    choices: 1,
    leastOutputTokens: 0,
    hasOutput: false,
    hiddenOutput: false,
    usageAsked: true,
    textBytes: body.textBytes,
    overheadTokens: CONTENT_TOKENS * Math.max(1, contents),
    mediaTokens,
    givenTokens: 0,
    unbounded: [...unbounded],
  };
}

function editRequest(body: ScannedBody, { model }: RequestEdits, { modelAt }: EmbedMethod): readonly Splice[] {
  const changes = new BodyEdits(body);
  if (model !== undefined) {
    const name = model.startsWith(PREFIX) ? model.slice(PREFIX.length) : model;
    for (const place of modelAt) {
      changes.replaceEach(place, (value) => (String(value).startsWith(PREFIX) ? PREFIX + name : name));
    }
  }
  return changes.splices();
}

function placesOf(at: readonly string[], names: readonly string[]): readonly string[] {
  return at.flatMap((start) => names.map((name) => start + name));
}

function endpoint(embed: EmbedMethod, path: string): ClientApi {
  const { name, shape, isMissingAt } = embed;
  return {
    method: 'POST',
    path,
    name: 'embeddings',
    operation: 'embeddings',
    providerApis: ['GoogleGemini', 'GCPVertexAI'],
    isMissingAt,
    dialect: googleDialect,
    kind: 'metered',
    shape,
    readRequest: (body, address) => readRequest(body, address, embed),
    edit: (body, edits) => editRequest(body, edits, embed),
    providerPath: (_request, model, backend) => methodPath(backend, model, name),
    response: () =>
      absentStreamAdapter(googleDialect, () =>
        unaryReader({ shape: documentShape, usage: (_numbers, document) => scannedGeminiUsage(document) }),
      ),
  };
}

function endpointsOf(method: EmbedMethod): readonly ClientApi[] {
  return methodPaths(method.name).map((path) => endpoint(method, path));
}

export const embedContentEndpoints = endpointsOf(embedContent);
export const batchEmbedEndpoints = endpointsOf(batchEmbedContents);
