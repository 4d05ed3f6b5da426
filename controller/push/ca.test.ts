import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import {
  type CaText,
  issueServerCertificate,
  renewCa,
  rotateCa,
  type ServerCertificate,
  serverCertificateIsDue,
} from './ca.ts';

const DAY_MS = 86_400_000;
const NAMES = ['tallygate-controller', 'tallygate-controller.tallygate-system.svc'];
const now = Date.now();

/** Returns whether a TLS client that trusts these certificates accepts this one. */
async function taken(server: ServerCertificate, certificates: string, name = NAMES[0]!): Promise<boolean> {
  const listener = createServer({ cert: server.chain, key: server.key }, (socket) => socket.end());
  listener.on('tlsClientError', () => {});
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', ca: certificates, servername: name, minVersion: 'TLSv1.3' });
  const result = await new Promise<boolean>((resolve) => {
    socket.once('secureConnect', () => resolve(socket.authorized)).once('error', () => resolve(false));
  });
  socket.destroy();
  listener.close();
  return result;
}

const blocks = (text: string) => text.match(/BEGIN CERTIFICATE/g)?.length ?? 0;

describe('the CA', () => {
  test('issues certificates that TLS clients accept for their names only', async () => {
    const kept = await renewCa(undefined, now);
    const server = await issueServerCertificate(kept, NAMES, now);
    assert.equal(await taken(server, kept.certificates), true);
    assert.equal(await taken(server, kept.certificates, NAMES[1]!), true);
    assert.equal(await taken(server, kept.certificates, 'elsewhere'), false);
    assert.equal(await taken(server, (await renewCa(undefined, now)).certificates), false);
    const certificate = new X509Certificate(kept.certificates);
    assert.ok(certificate.ca);
    assert.ok(Date.parse(certificate.validTo) > now + 3650 * DAY_MS);
  });

  test('stays the same while nothing is due', async () => {
    const kept = await renewCa(undefined, now);
    assert.equal(await renewCa(kept, now + 9 * 365 * DAY_MS - 30 * DAY_MS), kept);
  });

  test('is created anew if the stored one is unusable', async () => {
    const [one, other] = [await renewCa(undefined, now), await renewCa(undefined, now)];
    const broken: readonly CaText[] = [
      { certificates: '', keys: '' },
      { certificates: 'nonsense', keys: one.keys },
      { certificates: one.certificates, keys: other.keys },
      { certificates: one.certificates + other.certificates, keys: one.keys },
    ];
    for (const each of broken) {
      const made = await renewCa(each, now);
      assert.notEqual(made, each);
      assert.equal(blocks(made.certificates), 1);
      assert.equal(await taken(await issueServerCertificate(made, NAMES, now), made.certificates), true);
    }
  });

  test('is published before it signs, and trusted until its certificates have expired', async () => {
    const old = await renewCa(undefined, now - 2 * DAY_MS);
    const both = await rotateCa(old, now);
    assert.equal(blocks(both.certificates), 2);
    const before = await issueServerCertificate(both, NAMES, now);
    assert.equal(await taken(before, old.certificates), true, 'pods that have only the old one');
    assert.equal(await renewCa(both, now + 1.5 * DAY_MS), both);
    const last = await renewCa(both, now + 2.1 * DAY_MS);
    assert.equal(blocks(last.certificates), 1);
    assert.ok(both.certificates.endsWith(last.certificates));

    const earlier = await rotateCa(old, now - 1.1 * DAY_MS);
    const after = await issueServerCertificate(earlier, NAMES, now);
    assert.equal(await taken(after, old.certificates), false);
    assert.equal(await taken(after, earlier.certificates), true);
    assert.equal(serverCertificateIsDue(before, earlier, now), true, 'another CA signs now');
  });

  test('is renewed a year before it expires', async () => {
    const kept = await renewCa(undefined, now);
    const renewed = await renewCa(kept, now + 9.1 * 365 * DAY_MS);
    assert.equal(blocks(renewed.certificates), 2);
    assert.ok(renewed.certificates.startsWith(kept.certificates));
  });
});

test('a server certificate is due after half of its lifetime', async () => {
  const kept = await renewCa(undefined, now);
  const server = await issueServerCertificate(kept, NAMES, now);
  assert.equal(serverCertificateIsDue(server, kept, now), false);
  assert.equal(serverCertificateIsDue(server, kept, now + 0.49 * DAY_MS), false);
  assert.equal(serverCertificateIsDue(server, kept, now + 0.51 * DAY_MS), true);
  assert.equal(serverCertificateIsDue(server, await renewCa(undefined, now), now), true);
});
