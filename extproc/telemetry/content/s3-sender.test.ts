import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { outcomeOfStream } from '../testing.ts';
import { contentEntry, contentFacts } from './entry.ts';
import { type S3AccessKey, s3ContentSender } from './s3-sender.ts';
import type { S3ContentTarget } from './target.ts';

const kept = {
  policy: 'default/reviews',
  destinations: ['S3'],
  prompt: undefined,
  response: undefined,
  drops: [],
} as const;
const entry = contentEntry(contentFacts(outcomeOfStream, false), kept, '0000-1');
const accessKey: S3AccessKey = { id: 'AKIDSTATIC', secret: 'static-secret' };

interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Serves `respond` until the test ends. */
async function serve(t: TestContext, respond: (request: SeenRequest, response: ServerResponse) => void) {
  const requests: SeenRequest[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString();
    const seen = { method: request.method!, url: request.url!, headers: request.headers, body };
    requests.push(seen);
    respond(seen, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function targetAt(endpoint: string): S3ContentTarget {
  return { type: 's3', endpoint, bucket: 'kept', prefix: 'p/', region: 'eu-central-1' };
}

const error = (code: string) => `<Error><Code>${code}</Code><Message>No.</Message></Error>`;

/** Sets variables of this process for a test. */
function setEnvironment(t: TestContext, variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name];
    process.env[name] = value;
    t.after(() => {
      if (before === undefined) {
        delete process.env[name];
      } else {
        process.env[name] = before;
      }
    });
  }
}

const keyIdIn = ({ headers }: SeenRequest) => /Credential=([^/]+)/.exec(headers.authorization ?? '')?.[1];

test('objects are encrypted at rest as the operator says, and stored again after a failure of the bucket', async (t) => {
  const statuses = [503, 200];
  const { requests, url } = await serve(t, (_, response) => response.writeHead(statuses.shift()!).end());
  const target: S3ContentTarget = { ...targetAt(url), encryption: 'aws:kms', kmsKey: 'key-1' };
  const sender = s3ContentSender(target, { ...accessKey, sessionToken: 'session-1' });
  assert.deepEqual(await sender.send([entry]), { accepted: 1, failure: undefined });
  assert.equal(requests.length, 2);
  const { url: path, headers } = requests[1]!;
  assert.match(path, /^\/kept\/p\/\d{4}\/\d\d\/\d\d\/\d\d\/\d\d-\d\d-[0-9a-f-]{36}-1\.jsonl(\?|$)/);
  assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
  assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], 'key-1');
  assert.equal(headers['x-amz-security-token'], 'session-1');
  assert.match(String(headers.authorization), /SignedHeaders=[^,]*x-amz-server-side-encryption/);
  assert.equal(
    Object.keys(headers).some((name) => name.startsWith('x-amz-checksum')),
    false,
  );
});

test('entries are lines of one object for each hour, whose names differ', async (t) => {
  const { requests, url } = await serve(t, (_, response) => response.writeHead(200).end());
  const sender = s3ContentSender(targetAt(url), accessKey);
  const at = (time: string, id: string) => ({ ...entry, id, timeMs: Date.parse(time) });
  const entries = [
    at('2026-11-28T10:59:59.500Z', 'a'),
    at('2026-11-28T11:00:02Z', 'b\n'),
    at('2026-11-28T10:07:03Z', 'c'),
  ];
  assert.deepEqual(await sender.send(entries), { accepted: 3, failure: undefined });
  await sender.send([entries[1]!]);
  const objects = requests.map(({ url: path, body }) => ({
    hour: path.slice('/kept/p/'.length).replace(/-[0-9a-f-]{36}-\d+\.jsonl.*/, ''),
    ids: body.split('\n').map((line) => line && (JSON.parse(line) as { readonly id: string }).id),
  }));
  assert.deepEqual(
    objects.toSorted((one, other) => one.hour.localeCompare(other.hour)),
    [
      { hour: '2026/11/28/10/07-03', ids: ['a', 'c', ''] },
      { hour: '2026/11/28/11/00-02', ids: ['b\n', ''] },
      { hour: '2026/11/28/11/00-02', ids: ['b\n', ''] },
    ],
  );
  assert.equal(new Set(requests.map(({ url: path }) => path)).size, 3);
});

test('entries of an object that is refused are counted, and those of another one are stored', async (t) => {
  const { url } = await serve(t, ({ url: path }, response) => {
    response.writeHead(path.includes('/10/') ? 403 : 200).end(path.includes('/10/') ? error('AccessDenied') : '');
  });
  const later = { ...entry, timeMs: Date.parse('2026-11-28T11:00:00Z') };
  const earlier = { ...entry, timeMs: Date.parse('2026-11-28T10:00:00Z') };
  const { accepted, failure } = await s3ContentSender(targetAt(url), accessKey).send([earlier, later, earlier]);
  assert.deepEqual([accepted, failure?.reason], [1, 'export_refused']);
});

const refusals: readonly (readonly [status: number, code: string, says: RegExp, region?: string])[] = [
  [403, 'AccessDenied', /kept answered 403 \(AccessDenied\): allow s3:PutObject/],
  [403, 'SignatureDoesNotMatch', /replace the secret access key/],
  [400, 'ExpiredToken', /replace the access key and its session token/],
  [404, 'NoSuchBucket', /create it, or correct TALLYGATE_CONTENT_EXPORT/],
  [301, 'PermanentRedirect', /correct region=eu-central-1 in TALLYGATE_CONTENT_EXPORT to us-west-2/, 'us-west-2'],
  [400, 'EntityTooLarge', /kept answered 400 \(EntityTooLarge\)$/],
];

for (const [status, code, says, region] of refusals) {
  test(`a bucket that answers ${code} is not asked again, and the failure says what to do`, async (t) => {
    const { requests, url } = await serve(t, (_, response) => {
      const headers = { location: 'http://127.0.0.1:1/', ...(region && { 'x-amz-bucket-region': region }) };
      response.writeHead(status, headers).end(error(code));
    });
    const { accepted, failure } = await s3ContentSender(targetAt(url), accessKey).send([entry]);
    assert.deepEqual([accepted, failure?.reason, requests.length], [0, 'export_refused', 1]);
    assert.match(failure!.text, says);
  });
}

test('a bucket that is gone, or never answers, fails within its timeouts', async (t) => {
  const { url } = await serve(t, () => undefined);
  const startMs = performance.now();
  const hung = await s3ContentSender(targetAt(url), accessKey, 100).send([entry]);
  assert.equal(hung.failure?.reason, 'export_failed');
  assert.notEqual(hung.failure?.text, '');
  assert.ok(performance.now() - startMs < 3_000);
  const gone = await s3ContentSender(targetAt('http://127.0.0.1:1'), accessKey).send([entry, entry]);
  assert.deepEqual([gone.accepted, gone.failure?.reason], [0, 'export_failed']);
  assert.match(gone.failure!.text, /ECONNREFUSED/);
});

/** Credentials as the token service of AWS issues them. */
function assumedRole(id: string, expiresAtMs: number): string {
  const credentials = `<AccessKeyId>${id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t-${id}</SessionToken><Expiration>${new Date(expiresAtMs).toISOString()}</Expiration>`;
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>${credentials}</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
}

function tokenFile(t: TestContext, token: string): string {
  const folder = mkdtempSync(join(tmpdir(), 's3-sender-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'token');
  writeFileSync(file, token);
  return file;
}

test('the role of a ServiceAccount stores objects, and is assumed again before its session ends', async (t) => {
  const file = tokenFile(t, 'web-token-1');
  let sessions = 0;
  const service = await serve(t, (_, response) => {
    sessions++;
    writeFileSync(file, `web-token-${sessions + 1}`);
    // The first session ends soon.
    const expiresAtMs = Date.now() + (sessions === 1 ? 60_000 : 3_600_000);
    response.writeHead(200, { 'content-type': 'text/xml' }).end(assumedRole(`ASIA${sessions}`, expiresAtMs));
  });
  const { requests, url } = await serve(t, (_, response) => response.writeHead(200).end());
  setEnvironment(t, {
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ENDPOINT_URL_STS: service.url,
    AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/content',
    AWS_WEB_IDENTITY_TOKEN_FILE: file,
  });
  const sender = s3ContentSender(targetAt(url), undefined);
  await sender.send([entry]);
  for (let i = 0; i < 50 && keyIdIn(requests.at(-1)!) !== 'ASIA2'; i++) {
    assert.equal((await sender.send([entry])).accepted, 1);
  }
  assert.deepEqual([keyIdIn(requests[0]!), keyIdIn(requests.at(-1)!)], ['ASIA1', 'ASIA2']);
  assert.equal(requests[0]!.headers['x-amz-security-token'], 't-ASIA1');
  const forms = service.requests.map(({ body }) => new URLSearchParams(body));
  assert.deepEqual(
    forms.slice(0, 2).map((form) => [form.get('Action'), form.get('WebIdentityToken')]),
    [
      ['AssumeRoleWithWebIdentity', 'web-token-1'],
      ['AssumeRoleWithWebIdentity', 'web-token-2'],
    ],
  );
});

test('the credentials of a container store objects', async (t) => {
  const agent = await serve(t, (_, response) => {
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ AccessKeyId: 'ASIAPOD', SecretAccessKey: 's', Token: 'pod-session', Expiration }));
  });
  const { requests, url } = await serve(t, (_, response) => response.writeHead(200).end());
  setEnvironment(t, {
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${agent.url}/v1/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile(t, 'pod-token'),
  });
  const sender = s3ContentSender(targetAt(url), undefined);
  assert.equal((await sender.send([entry, entry])).accepted, 2);
  assert.deepEqual([keyIdIn(requests[0]!), agent.requests.length], ['ASIAPOD', 1]);
  assert.equal(agent.requests[0]!.headers.authorization, 'pod-token');
});

test('without credentials, the failure names the variables', async (t) => {
  const { requests, url } = await serve(t, (_, response) => response.writeHead(200).end());
  const folder = mkdtempSync(join(tmpdir(), 's3-sender-'));
  t.after(() => rmSync(folder, { recursive: true }));
  setEnvironment(t, { AWS_EC2_METADATA_DISABLED: 'true', HOME: folder });
  const { failure } = await s3ContentSender(targetAt(url), undefined).send([entry]);
  assert.match(failure!.text, /^no credentials for the bucket: set TALLYGATE_CONTENT_S3_KEY_ID/);
  assert.equal(requests.length, 0);
});
