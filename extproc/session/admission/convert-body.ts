import type { Conversion, ConvertedRequest } from '../../conversion/converted-request.ts';
import type { Failure } from '../../errors.ts';
import type { Admission } from './admission.ts';
import type { RoutingDecision } from './select-backend.ts';

/** Converts the body of a request for a target. */
export function convertBody(
  { body }: Admission,
  { facts, backendModel: model, modelFacts, rule, target }: RoutingDecision,
  conversion: Conversion,
): ConvertedRequest | Failure {
  return conversion.convert(body!, {
    facts,
    backend: target.backendPolicy,
    model,
    modelFacts,
    drops: rule.rule.unsupported === 'Drop',
  });
}
