import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import { missingDestinations } from './content-destinations.ts';

const policy = {
  contentPolicies: [
    { name: 'app/kept', destinations: ['OTLPLogs', 'S3'] },
    { name: 'app/traced', destinations: ['Spans'] },
  ],
} as unknown as GatewayPolicy;

function missing(name: string, contentDestinations: readonly string[] | undefined): string | undefined {
  const pod = { podName: 'envoy-1', podUid: 'u1', namespace: 'infra' };
  return missingDestinations({ pod, contentDestinations } as ConnectedSidecar, policy, name);
}

test('a proxy without a destination of a content policy is named, with the variable to set', () => {
  assert.equal(
    missing('AIContentPolicy app/kept', ['S3']),
    'pod infra/envoy-1 has no destination OTLPLogs, so the content for it is dropped; fix: set TALLYGATE_CONTENT_EXPORT in sidecar.env of the chart, or remove OTLPLogs from spec.destinations',
  );
  assert.match(missing('AIContentPolicy app/kept', []) ?? '', /no destination OTLPLogs and S3, /);
  assert.match(missing('AIContentPolicy app/traced', ['S3']) ?? '', /set OTEL_EXPORTER_OTLP_ENDPOINT in /);
});

test('a proxy with all destinations, or of a version that does not say, is not named', () => {
  assert.equal(missing('AIContentPolicy app/kept', ['OTLPLogs', 'S3']), undefined);
  assert.equal(missing('AIContentPolicy app/traced', undefined), undefined);
  assert.equal(missing('AIGatewayRoute app/kept', []), undefined, 'its routes work');
});
