/**
 * Against what Envoy said under Envoy Gateway 1.9.1: testdata/envoy-gateway, made from one-rule
 * HTTPRoutes of the names below, right and wrong in each way.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type EnvoyConfigDump, verifyConfigDump } from './verify-config-dump.ts';

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`testdata/envoy-gateway/${name}.json`, import.meta.url), 'utf8'));
const gateway = (): EnvoyConfigDump => ({
  listeners: read('listeners'),
  routes: read('routes'),
  endpoints: read('endpoints'),
});
const SOCKET = '/run/tallygate/extproc.sock';
const route = (name: string, rule = 0) => `httproute/push-proof/${name}/rule/${rule}/match/0/*`;
const good = [route('good'), route('good', 1)];
const none = { total: 0, names: [] };
const only = (...names: string[]) => ({ total: names.length, names });

describe('a configuration of Envoy Gateway’s', () => {
  test('routes that carry the filter are proved, also one that answers by itself', () => {
    const wanted = { expected: 2, missing: none, unfiltered: none, failing: none, listenersWithoutFilter: none };
    assert.deepEqual(verifyConfigDump(gateway(), good, SOCKET), wanted);
  });

  test('a route that is nowhere', () => {
    assert.deepEqual(verifyConfigDump(gateway(), [...good, route('gone')], SOCKET).missing, only(route('gone')));
  });

  test('a route without the filter, and one with somebody else’s processor only', () => {
    const names = [route('overridden'), route('unlabelled')];
    assert.deepEqual(verifyConfigDump(gateway(), [...good, ...names], SOCKET).unfiltered, only(...names));
  });

  test('a route that Envoy Gateway answers with 500', () => {
    const found = verifyConfigDump(gateway(), [...good, route('broken')], SOCKET);
    assert.deepEqual(found.failing, only(route('broken')));
    assert.deepEqual(found.unfiltered, none);
  });

  test('a listener without the filter', () => {
    const found = verifyConfigDump(gateway(), [...good, route('bare')], SOCKET);
    assert.deepEqual(found.listenersWithoutFilter, only('push-proof/ai/bare'));
    assert.deepEqual(found.unfiltered, only(route('bare')));
  });

  test('a filter that leads to another socket is not ours', () => {
    const found = verifyConfigDump(gateway(), good, '/elsewhere.sock');
    assert.deepEqual(found.unfiltered, only(...good));
    assert.deepEqual(found.listenersWithoutFilter, only('push-proof/ai/metered'));
    assert.deepEqual(verifyConfigDump(gateway(), [route('overridden')], '/run/other/extproc.sock').unfiltered, none);
  });
});

describe('changed by hand', () => {
  /** Exchanges texts in all three dumps. */
  const changed = (...exchanges: readonly (readonly [string, string])[]): EnvoyConfigDump => {
    let text = JSON.stringify(gateway());
    for (const [from, to] of exchanges) {
      assert.ok(text.includes(from), from);
      text = text.replaceAll(from, to);
    }
    return JSON.parse(text);
  };
  const ENABLED = '{"@type":"type.googleapis.com/envoy.config.route.v3.FilterConfig","config":{}}';
  const FILTER = 'type.googleapis.com/envoy.config.route.v3.FilterConfig';
  const PER_ROUTE = 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute';
  const overrides: readonly (readonly [what: string, override: object, passes: boolean])[] = [
    ['disabled', { '@type': PER_ROUTE, disabled: true }, false],
    ['disabled in a filter configuration', { '@type': FILTER, disabled: true }, false],
    ['an empty override', { '@type': PER_ROUTE, overrides: {} }, true],
    [
      'another processor',
      { '@type': PER_ROUTE, overrides: { grpc_service: { envoy_grpc: { cluster_name: 'x' } } } },
      false,
    ],
    ['no bodies', { '@type': PER_ROUTE, overrides: { processing_mode: { request_body_mode: 'NONE' } } }, false],
    [
      'no bodies, inside',
      { '@type': FILTER, config: { '@type': PER_ROUTE, overrides: { processing_mode: {} } } },
      false,
    ],
    ['of an unknown kind', { '@type': 'type.googleapis.com/what' }, false],
  ];
  for (const [what, override, passes] of overrides) {
    test(`an override: ${what}`, () => {
      const found = verifyConfigDump(changed([ENABLED, JSON.stringify(override)]), good, SOCKET);
      assert.equal(found.unfiltered.total, passes ? 0 : 2);
    });
  }

  const faults: readonly (readonly [what: string, from: string, to: string])[] = [
    ['bodies are not sent whole', '"response_body_mode":"FULL_DUPLEX_STREAMED"', '"response_body_mode":"BUFFERED"'],
    ['headers are not sent', '"request_header_mode":"SEND"', '"request_header_mode":"SKIP"'],
    ['the processor only observes', '"processing_mode"', '"observability_mode":true,"processing_mode"'],
    ['the filter is of another kind', 'ext_proc.v3.ExternalProcessor', 'ext_authz.v3.ExtAuthz'],
    ['a second endpoint is elsewhere', '"lb_endpoints":[', '"lb_endpoints":[{"endpoint":{"address":{}}},'],
  ];
  for (const [what, from, to] of faults) {
    test(what, () => assert.equal(verifyConfigDump(changed([from, to]), good, SOCKET).unfiltered.total, 2));
  }

  test('a filter that is on for all routes needs no mark on each', () => {
    const found = verifyConfigDump(
      changed(['"disabled":true', '"disabled":false'], ['typed_per_filter_config', 'left_out']),
      good,
      SOCKET,
    );
    assert.equal(found.unfiltered.total, 0);
  });

  test('routes that no listener uses are missing', () => {
    const found = verifyConfigDump(
      changed(['"route_config_name":"push-proof/ai/metered"', '"route_config_name":"x"']),
      good,
      SOCKET,
    );
    assert.equal(found.missing.total, 2);
  });
});

test('what is told is bounded', () => {
  const names = Array.from({ length: 5000 }, (_, index) => `${'n'.repeat(1000)}${index}`);
  const { missing } = verifyConfigDump(gateway(), names, SOCKET);
  assert.equal(missing.total, 5000);
  assert.equal(missing.names.length, 20);
  assert.ok(missing.names.every((name) => name.length === 300));
});

test('whatever is taken away, nothing is thrown, and no more is proved than before', () => {
  const whole = JSON.stringify(gateway());
  const keys = [...new Set([...whole.matchAll(/"([a-z_]+)":/g)].map(([, key]) => key!))];
  fc.assert(
    fc.property(fc.subarray(keys), (gone) => {
      const left = JSON.parse(whole, (key, value) => (gone.includes(key) ? undefined : value)) as EnvoyConfigDump;
      const names = [...good, route('bare'), route('overridden')];
      const { missing, unfiltered, failing } = verifyConfigDump(
        { listeners: left.listeners ?? {}, routes: left.routes ?? {}, endpoints: left.endpoints ?? {} },
        names,
        SOCKET,
      );
      return missing.total + unfiltered.total + failing.total >= 2 || gone.includes('disabled');
    }),
  );
});
