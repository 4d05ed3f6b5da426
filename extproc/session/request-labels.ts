/** Finds the values of the labels that a provider gets with a request. Pure. */
import { hash } from 'node:crypto';
import type { LabelSource, ProviderApi } from '../../contract/policy.ts';
import type { RequestLabels } from '../providers/labels.ts';
import { type KeyFacts, partValue } from '../quota/keys.ts';
import type { Admission } from './admission/admission.ts';
import type { RoutingDecision } from './admission/select-backend.ts';

/** Returns undefined for backends without labels. */
export function requestLabels(
  { request, identity, group }: Pick<Admission, 'request' | 'identity' | 'group'>,
  { rule, target, backendModel }: RoutingDecision,
): RequestLabels | undefined {
  const { requestLabels: labels, schema } = target.backendPolicy;
  if (labels === undefined) {
    return undefined;
  }
  const { route } = rule.rule;
  const facts = { header: request.header, model: backendModel, route, caller: identity?.proven.caller, group };
  return Object.fromEntries(labels.map(({ name, source }) => [name, labelValue(source, facts, schema)]));
}

function labelValue(source: LabelSource, facts: KeyFacts, schema: ProviderApi): string | undefined {
  const value = source.type === 'Value' ? source.value : partValue(source, facts);
  if (typeof value !== 'string') {
    return undefined;
  }
  return schema === 'AWSBedrock' ? bedrockValue(value) : vertexValue(value);
}

/** https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls */
function vertexValue(value: string): string {
  return distinct(value, value.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '_'), 63);
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html */
function bedrockValue(value: string): string {
  return distinct(value, value.replaceAll(/[^a-zA-Z0-9 :_@$#=/+,.-]/g, '_'), 256);
}

const DIGEST_CHARACTERS = 8;

/** Marks a value that was changed or is too long, so that different ones stay different. */
function distinct(value: string, allowed: string, maxLength: number): string {
  if (allowed === value && value.length <= maxLength) {
    return value;
  }
  const digest = hash('sha256', value, 'hex').slice(0, DIGEST_CHARACTERS);
  return `${allowed.slice(0, maxLength - DIGEST_CHARACTERS - 1)}-${digest}`;
}
