import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CertificateSource } from '../../contract/access-policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { compileCertificate } from './certificates.ts';

const URI = 'connection.uri_san_peer_certificate';
const DNS = 'connection.dns_san_peer_certificate';
const SUBJECT = 'connection.subject_peer_certificate';

function tenantOf(source: CertificateSource, attributes: Readonly<Record<string, string>>): string | undefined {
  const { identify } = compileCertificate({ type: 'ClientCertificate', id: 'a/b/c', identity: { tenant: source } });
  return identify(new Map(Object.entries(attributes)))?.tenant;
}

const patterns: readonly (readonly [pattern: string, attribute: string, value: string | undefined])[] = [
  ['spiffe://example.org/ns/{value}/*', 'spiffe://example.org/ns/search/sa/batch', 'search'],
  ['spiffe://example.org/ns/{value}/*', 'spiffe://example.org/ns/search', undefined],
  ['spiffe://example.org/ns/{value}/*', 'spiffe://example.org/ns//sa/batch', undefined],
  ['spiffe://example.org/ns/{value}/*', 'spiffe://evil.org/ns/search/sa/batch', undefined],
  ['spiffe://example.org/ns/{value}/*', 'xspiffe://example.org/ns/search/sa', undefined],
  ['spiffe://example.org/ns/{value}/*', 'SPIFFE://example.org/ns/search/sa', undefined],
  ['spiffe://example.org/ns/{value}', 'spiffe://example.org/ns/search/sa', undefined],
  ['*/sa/{value}', 'spiffe://example.org/ns/search/sa/batch', 'batch'],
  ['*/ns/{value}/sa/*', 'spiffe://a/ns/one/sa/x/ns/two/sa/y', 'one'],
  ['{value}.example.org', 'search.example.org', 'search'],
  ['{value}.example.org', 'a.b.example.org', 'a.b'],
  ['CN={value},*', 'CN=ada,O=search', 'ada'],
  ['CN={value}', 'CN=ada,O=search', 'ada,O=search'],
  ['spiffe://example.org/*', 'spiffe://example.org/ns/search', 'spiffe://example.org/ns/search'],
  ['spiffe://example.org/*', 'spiffe://evil.org/ns/search', undefined],
  ['{value}', '', undefined],
];

for (const [pattern, attribute, value] of patterns) {
  test(`${pattern} takes ${value ?? 'nothing'} from ${attribute || 'an empty attribute'}`, () => {
    assert.equal(tenantOf({ from: 'URISAN', pattern }, { [URI]: attribute }), value);
  });
}

test('each source reads its own attribute', () => {
  const attributes = { [URI]: 'u', [DNS]: 'd', [SUBJECT]: 's' };
  assert.equal(tenantOf({ from: 'URISAN' }, attributes), 'u');
  assert.equal(tenantOf({ from: 'DNSSAN' }, attributes), 'd');
  assert.equal(tenantOf({ from: 'Subject' }, attributes), 's');
  assert.equal(tenantOf({ from: 'Subject' }, { [URI]: 'u' }), undefined);
});

test('a connection without certificate identifies nobody', () => {
  const { identify } = compileCertificate({ type: 'ClientCertificate', id: 'a/b/c', identity: {} });
  assert.equal(identify(new Map()), undefined);
  assert.equal(identify(new Map([[URI, '']])), undefined);
  assert.deepEqual(identify(new Map([[SUBJECT, 'CN=ada']]))?.groups, []);
});

test('an overlong attribute identifies nobody', () => {
  assert.equal(tenantOf({ from: 'URISAN' }, { [URI]: 'a'.repeat(513) }), undefined);
});

test('a pattern takes what a regular expression takes, in bounded time', () => {
  const piece = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 6 });
  const attribute = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 12 });
  fc.assert(
    fc.property(piece, piece, attribute, (before, after, text) => {
      const source = { from: 'URISAN', pattern: `${before}{value}${after}` } as const;
      const expression = `^${escaped(before)}([^/]+)${escaped(after)}$`;
      const expected = new RegExp(expression).exec(text)?.[1];
      assert.equal(tenantOf(source, { [URI]: text }), expected);
    }),
    fuzzRuns(1000),
  );
});

/** Lazy before the value, so that the leftmost part is taken. */
function escaped(text: string): string {
  return text.replaceAll('*', '.*?');
}

test('a hostile pattern and attribute do not block the event loop', () => {
  const pattern = `${'*a'.repeat(40)}{value}${'a*'.repeat(40)}b`;
  const times = [0, 0, 0].map(() => {
    const fromMs = performance.now();
    tenantOf({ from: 'URISAN', pattern }, { [URI]: 'a'.repeat(512) });
    return performance.now() - fromMs;
  });
  assert.ok(Math.min(...times) < 20, `${times} ms`);
});
