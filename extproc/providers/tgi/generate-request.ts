/**
 * What a request to Text Generation Inference asks for:
 * https://huggingface.co/docs/text-generation-inference/reference/api_reference
 */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { RequestEdits, RequestFacts } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import { BodyFields, MAX_CHOICES } from '../request.ts';

const VALUE: Shape = { value: true };

export const generateShape: Shape = {
  object: {
    model: VALUE,
    inputs: { value: true, text: true },
    stream: VALUE,
    parameters: {
      value: true,
      object: {
        max_new_tokens: VALUE,
        best_of: VALUE,
        details: VALUE,
        grammar: { deepText: true },
      },
    },
  },
};

/** Requests name no model, because a server has only one. TGI's own OpenAI API uses this name. */
const ONLY_MODEL = 'tgi';

/** Begin of text. */
const PROMPT_TOKENS = 4;

/** An image in Markdown, which a vision model's server fetches. */
const REMOTE_IMAGE = Buffer.from('![](http');

/** `streams`: decided by the path; undefined: by the body's `stream`. */
export function readGenerateRequest(body: ScannedBody, streams: boolean | undefined): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = body.one('model') === undefined ? ONLY_MODEL : fields.model();
  const asked = fields.bound('parameters.max_new_tokens', 1);
  const candidates = fields.count('parameters.best_of', 1, MAX_CHOICES) ?? 1;
  const usageAsked = fields.flag('parameters.details');
  const stream = fields.flag('stream');
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  return {
    model,
    stream: streams ?? stream,
    choices: candidates,
    ...(candidates > 1 ? { shownChoices: 1 } : {}),
    ...(asked === undefined ? {} : { askedOutputTokens: asked }),
    leastOutputTokens: 1,
    hasOutput: true,
    // Discarded candidates are generated and not returned.
    hiddenOutput: candidates > 1,
    usageAsked,
    textBytes: body.textBytes,
    overheadTokens: PROMPT_TOKENS,
    mediaTokens: 0,
    givenTokens: 0,
    unbounded: hasRemoteImage(body) ? ['remote_url'] : [],
  };
}

export function editGenerateRequest(body: ScannedBody, edits: RequestEdits): readonly Splice[] {
  const changes = new BodyEdits(body);
  // A model can be overridden only where the client named one.
  if (edits.model !== undefined && body.one('model') !== undefined) {
    changes.set('model', edits.model);
  }
  changes.setNested('parameters', {
    ...(edits.outputTokens === undefined ? {} : { max_new_tokens: edits.outputTokens }),
    ...(edits.askUsage === true ? { details: true } : {}),
  });
  return changes.splices();
}

function hasRemoteImage(body: ScannedBody): boolean {
  return body.bytes.some((piece) => Buffer.from(piece.buffer, piece.byteOffset, piece.length).includes(REMOTE_IMAGE));
}
