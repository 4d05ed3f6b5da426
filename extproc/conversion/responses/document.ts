/** Unary responses of the Responses API. */
import type { ResponseOptions } from '../../providers/adapter.ts';
import type { CollectedAnswer } from '../answer.ts';
import { ItemIds, outputItems } from './output-items.ts';
import { incompleteReason, type ResponseEcho, responseObject } from './response-object.ts';

export function responseDocument(answer: CollectedAnswer, options: ResponseOptions, echo: ResponseEcho): Uint8Array {
  const ids = new ItemIds(answer.id ?? ownId(options));
  const incomplete = incompleteReason(answer.reason);
  const status = incomplete === undefined ? 'completed' : 'incomplete';
  const response = responseObject(
    {
      id: ids.responseId,
      model: answer.model ?? options.model,
      status,
      incomplete,
      output: outputItems(answer.blocks, ids, echo.tools, status),
      usage: answer.usage,
    },
    echo,
    options,
  );
  return Buffer.from(JSON.stringify(response));
}

/** Returns an id for an answer to which the provider gave none. */
export function ownId({ requestId }: ResponseOptions): string {
  return requestId ?? 'tallygate';
}
