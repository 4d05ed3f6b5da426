/**
 * `POST /generate`, `POST /generate_stream`, and `POST /`, which is either by the body's `stream`.
 */

import { newScanner } from '../../json/json-tokenizer.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { Usage } from '../../usage.ts';
import type { ClientApi, UnaryReader } from '../adapter.ts';
import { responseAdapter } from '../response-adapter.ts';
import { toldTokens, type UsageNumbers } from '../usage.ts';
import { tgiDialect } from './errors.ts';
import { editGenerateRequest, generateShape, readGenerateRequest } from './generate-request.ts';
import { TokenStreamReader } from './token-stream-reader.ts';
import { TokenStreamWriter } from './token-stream-writer.ts';
import { generationUsage } from './usage.ts';

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };

const documentShape: Shape = {
  object: {
    generated_text: TEXT,
    details: {
      object: {
        generated_tokens: VALUE,
        input_length: VALUE,
        prefill: { items: {} },
        best_of_sequences: { items: { object: { generated_text: TEXT, generated_tokens: VALUE } } },
      },
    },
  },
};

export const generateEndpoints: readonly ClientApi[] = [
  generateEndpoint('/generate', false),
  generateEndpoint('/generate_stream', true),
  generateEndpoint('/', undefined),
];

function generateEndpoint(path: string, streams: boolean | undefined): ClientApi {
  return {
    method: 'POST',
    path,
    name: 'generate',
    operation: 'text_completion',
    providerApis: ['HuggingFaceTGI'],
    dialect: tgiDialect,
    kind: 'metered',
    shape: generateShape,
    readRequest: (body) => readGenerateRequest(body, streams),
    edit: editGenerateRequest,
    response: (_request, options) =>
      responseAdapter({
        unary: wholeGeneration,
        reader: () => new TokenStreamReader(options),
        writer: () => new TokenStreamWriter(options),
      }),
  };
}

/** The response of `POST /` is a list of one generation. */
function wholeGeneration(): UnaryReader {
  return new WholeGeneration();
}

class WholeGeneration implements UnaryReader {
  readonly responseModel = undefined;
  readonly serviceTier = undefined;
  broken = false;
  readonly #scanner = newScanner(documentShape, { purpose: 'answer' });
  #begun = false;
  readonly #details: UsageNumbers = { get: (name) => toldTokens(this.#scanner.one(`details.${name}`)?.value) };

  push(bytes: Uint8Array, sink: TextSink): void {
    let from = 0;
    while (!this.#begun && from < bytes.length) {
      const byte = bytes[from] as number;
      if (byte !== 0x5b && byte > 0x20) {
        this.#begun = true;
      } else {
        from++;
      }
    }
    const problem = this.#scanner.push(bytes.subarray(from), sink);
    // The end of the list follows the one generation in it.
    if (problem !== undefined && this.#scanner.count('generated_text') === 0) {
      this.broken = true;
    }
  }

  release(): void {
    this.#scanner.release();
  }

  get usage(): Usage | undefined {
    let others = 0;
    for (const { value } of this.#scanner.all('details.best_of_sequences[].generated_tokens')) {
      others += toldTokens(value) ?? 0;
    }
    return generationUsage(this.#details, this.#scanner.count('details.prefill[]'), others);
  }
}
