/** Compiles the detector of a guardrail. */
import type { ExternalDetectorSettings, GuardrailDetector } from '../../contract/guardrails.ts';
import { patternFault, patternMatcher } from '../../contract/pattern.ts';
import type { DetectSpec } from '../../crds/guardrail-detector.ts';
import type { AIGuardrailPolicy } from '../../crds/kinds.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import type { DetectorSecret } from '../plan.ts';
import type { Located } from '../world.ts';
import { linkService, type ServiceUse } from './guardrail-services.ts';

export interface LinkedDetector {
  readonly detector: GuardrailDetector;
  /** Of its service. */
  readonly secrets: readonly DetectorSecret[];
}

/** Returns undefined for a detector with a fault, which is reported. `path`: of `detect`. */
export function linkDetector(
  spec: DetectSpec,
  path: string,
  policy: Located<AIGuardrailPolicy>,
  context: TranslationContext,
): LinkedDetector | undefined {
  const own = ownDetector(spec);
  if (own === undefined) {
    return externalDetector(spec, path, policy, context);
  }
  const isUsable = own.type !== 'Pattern' || hasUsableExpressions(own.expressions, path, policy, context);
  return isUsable ? { detector: own, secrets: [] } : undefined;
}

/** Returns a detector of the gateway itself. */
function ownDetector({ type, builtin, pattern, promptInjection }: DetectSpec): GuardrailDetector | undefined {
  if (builtin !== undefined) {
    const { detectors, phoneRegions } = builtin;
    return { type: 'Builtin', detectors, ...(phoneRegions && { phoneRegions }) };
  }
  if (pattern !== undefined) {
    return { type: 'Pattern', expressions: pattern.expressions };
  }
  return type === 'PromptInjection'
    ? { type, scoreThreshold: promptInjection?.scoreThreshold ?? DEFAULT_SCORE_THRESHOLD }
    : undefined;
}

/** As in `crds/guardrail-detector.ts`. */
const DEFAULT_SCORE_THRESHOLD = 0.5;

function hasUsableExpressions(
  expressions: readonly string[],
  path: string,
  policy: Located<AIGuardrailPolicy>,
  { diagnostics }: TranslationContext,
): boolean {
  const faults = expressions.map((expression, index) => {
    const fault =
      patternFault(expression) ??
      (patternMatcher(expression)('')
        ? { message: 'matches the empty text', fix: 'use + in place of *, so that a match has a length' }
        : undefined);
    if (fault !== undefined) {
      diagnostics.error(subject('AIGuardrailPolicy', policy), {
        reason: 'Invalid',
        path: `${path}.pattern.expressions[${index}]`,
        message: `the expression ${fault.message}`,
        fix: fault.fix,
      });
    }
    return fault;
  });
  return faults.every((fault) => fault === undefined);
}

function externalDetector(
  spec: DetectSpec,
  path: string,
  policy: Located<AIGuardrailPolicy>,
  context: TranslationContext,
): LinkedDetector | undefined {
  const { presidio, webhook, lakera, model, openAIModeration } = spec;
  const use = (member: string, secret: ServiceUse['secret'] = 'api-key'): ServiceUse => ({
    policy,
    path: `${path}.${member}`,
    secret,
    context,
  });
  if (presidio !== undefined) {
    const { entities, language, scoreThreshold } = presidio;
    return joined(linkService(presidio, use('presidio')), (service) => ({
      type: 'Presidio',
      service,
      language,
      ...(entities && { entities }),
      ...(scoreThreshold !== undefined && { scoreThreshold }),
    }));
  }
  if (webhook !== undefined) {
    return joined(linkService(webhook, use('webhook', 'signing')), (service) => ({ type: 'Webhook', service }));
  }
  if (lakera !== undefined) {
    const { projectID: projectId } = lakera;
    return joined(linkService(lakera, use('lakera')), (service) => ({
      type: 'Lakera',
      service,
      ...(projectId !== undefined && { projectId }),
    }));
  }
  if (model !== undefined) {
    const { name, instructions, scoreThreshold } = model;
    return joined(linkService(model, use('model')), (service) => ({
      type: 'Model',
      service,
      model: name,
      ...(instructions !== undefined && { instructions }),
      scoreThreshold,
    }));
  }
  return openAIModeration && moderation(openAIModeration, use('openAIModeration'));
}

function moderation(spec: NonNullable<DetectSpec['openAIModeration']>, use: ServiceUse): LinkedDetector | undefined {
  const { model, categories, scoreThreshold } = spec;
  return joined(linkService(spec, use), (service) => ({
    type: 'OpenAIModeration',
    service,
    model,
    ...(categories && { categories }),
    ...(scoreThreshold !== undefined && { scoreThreshold }),
  }));
}

function joined(
  linked: ReturnType<typeof linkService>,
  settings: (service: ExternalDetectorSettings['service']) => ExternalDetectorSettings,
): LinkedDetector | undefined {
  return linked && { detector: settings(linked.service), secrets: linked.secrets };
}
