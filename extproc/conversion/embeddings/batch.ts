/** Bounds how many texts one request may have. */
import type { Losses } from '../losses.ts';
import type { EmbeddingRequest } from './embedding-request.ts';

/** Refuses more texts than the provider takes at once: their embeddings would be missing. */
export function maxTexts({ texts, names }: EmbeddingRequest, most: number, losses: Losses): void {
  if (texts.length > most) {
    const limit = most === 1 ? 'one text in a request' : `${most} texts in a request`;
    losses.invalid(names.texts, `has ${texts.length} texts, and the backend takes ${limit}`);
  }
}
