import type { Conversion, ConvertedRequest } from '../../conversion/converted-request.ts';
import type { Failure } from '../../errors.ts';
import { requestLabels } from '../request-labels.ts';
import type { Admission } from './admission.ts';
import type { RoutingDecision } from './select-backend.ts';

/** Converts the body of a request for a target. */
export function convertBody(
  admission: Admission,
  choice: RoutingDecision,
  conversion: Conversion,
): ConvertedRequest | Failure {
  const { facts, backendModel: model, modelFacts, rule, target } = choice;
  return conversion.convert(admission.body!, {
    facts,
    backend: target.backendPolicy,
    model,
    modelFacts,
    drops: rule.rule.unsupported === 'Drop',
    labels: requestLabels(admission, choice),
  });
}
