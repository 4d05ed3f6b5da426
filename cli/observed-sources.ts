/** The sources of the metrics that are read at each collection. */
import type { Extproc } from '../extproc/main.ts';
import type { PolicySource } from '../extproc/policy/source.ts';
import type { ObservedSources } from '../extproc/telemetry/observed.ts';

export function observedSources(
  service: Extproc,
  policy: PolicySource,
  spans: ObservedSources['spans'],
  content: ObservedSources['content'],
): ObservedSources {
  return {
    now: Date.now,
    buckets: (count) => service.store.top(count, Date.now()),
    openStreams: () => service.server.openStreams,
    requests: () =>
      service.requests().flatMap((request) => {
        const { backend, waits = false } = request.facts() ?? {};
        return backend === undefined ? [] : [{ backend, waits, heldTokens: request.heldTokens }];
      }),
    serverCounters: () => service.server.counters,
    unsentBytes: () => service.server.unsentBytes,
    keys: (count) => service.store.keys(count),
    journalFails: () => service.store.journalFailure !== undefined,
    spans,
    content,
    usageLost: service.usageLost,
    usageExports: () => service.usage?.exports ?? [],
    policyRefused: () => policy.details()['refused'] !== undefined,
    backends: () => service.health.backends,
    restingBackends: () => service.health.resting(Date.now()).map(({ backend }) => backend),
  };
}
