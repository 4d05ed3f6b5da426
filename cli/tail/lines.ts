/** Lines of a stream of bytes, each bounded. */
import { StringDecoder } from 'node:string_decoder';

/** Longer than any access line. */
const MAX_LINE_CHARACTERS = 256 * 1024;

export class LineReader {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  /** Returns the lines that are complete. What a line has beyond the bound is lost. */
  read(bytes: Uint8Array): readonly string[] {
    const lines = this.#decoder.write(bytes).split('\n');
    lines[0] = this.#rest + lines[0]!;
    this.#rest = lines.pop()!.slice(0, MAX_LINE_CHARACTERS);
    return lines.map((line) => line.slice(0, MAX_LINE_CHARACTERS));
  }

  /** Returns the line that has no end, if there is one. */
  end(): readonly string[] {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}

export async function* linesOfStream(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const reader = new LineReader();
  for await (const bytes of stream) {
    yield* reader.read(bytes);
  }
  yield* reader.end();
}
