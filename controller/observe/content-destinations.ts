/** What it means for an AIContentPolicy that proxies do not have its destinations. */
import { destinationVariables } from '../../contract/content.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import type { ObjectKey } from './contents.ts';

/** Returns which destinations of a content policy a sidecar lacks; undefined: it has all. */
export function missingDestinations(
  { pod, contentDestinations: configured }: ConnectedSidecar,
  { contentPolicies = [] }: GatewayPolicy,
  key: ObjectKey,
): string | undefined {
  const policy = contentPolicies.find(({ name }) => key === `AIContentPolicy ${name}`);
  const [missing, ...others] = policy?.destinations.filter((each) => configured?.includes(each) === false) ?? [];
  if (missing === undefined) {
    return undefined;
  }
  const names = [missing, ...others].join(' and ');
  const fix = `set ${destinationVariables[missing]} in sidecar.env of the chart, or remove ${missing} from spec.destinations`;
  return `pod ${pod.namespace}/${pod.podName} has no destination ${names}, so the content for it is dropped; fix: ${fix}`;
}
