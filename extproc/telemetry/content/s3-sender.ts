/** Stores content in an S3-compatible bucket, one JSON object for each request and policy. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AwsCredentials, awsSigner } from '../../../runtime/aws-signer.ts';
import { errorMessage } from '../../../runtime/error-message.ts';
import type { ContentEntry } from './entry.ts';
import { type ContentSender, SEND_TIMEOUT_MS } from './sender.ts';
import type { S3ContentTarget } from './target.ts';

const RETRY_DELAYS_MS = [200, 1_000];

export function s3ContentSender(
  target: S3ContentTarget,
  credentials: AwsCredentials,
  {
    timeoutMs = SEND_TIMEOUT_MS,
    delaysMs = RETRY_DELAYS_MS,
  }: { timeoutMs?: number; delaysMs?: readonly number[] } = {},
): ContentSender {
  const signer = awsSigner(credentials, target.region, 's3');
  const put = async (url: URL, body: string): Promise<PutResult> => {
    const signed = await signer.sign({
      method: 'PUT',
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query: {},
      headers: { host: url.host, 'content-type': 'application/json', ...encryptionHeaders(target) },
      body,
    });
    const { host: _, ...headers } = signed.headers;
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { method: 'PUT', headers, body, redirect: 'error', signal });
    await response.body?.cancel();
    return response.ok ? 'stored' : { status: response.status };
  };
  return {
    maxEntries: 8,
    async send(entries) {
      const failures = await Promise.all(entries.map((entry) => store(put, target, entry, delaysMs)));
      const failed = failures.filter((failure) => failure !== undefined);
      return { accepted: entries.length - failed.length, failure: failed[0] };
    },
  };
}

type PutResult = 'stored' | { readonly status: number };

/** Returns why the entry is not stored. */
async function store(
  put: (url: URL, body: string) => Promise<PutResult>,
  { url }: S3ContentTarget,
  entry: ContentEntry,
  delaysMs: readonly number[],
): Promise<string | undefined> {
  const { id, timeMs, span, attributes, instructions, input, output } = entry;
  const time = new Date(timeMs).toISOString();
  const key = new URL(`${time.slice(0, 13).replaceAll(/[-T]/g, '/')}/${id}.json`, url);
  const content = { system_instructions: instructions, input_messages: input, output_messages: output };
  const body = JSON.stringify({ id, time, ...span, attributes, ...content });
  let failure: string | undefined;
  for (const delayMs of [...delaysMs, undefined]) {
    try {
      const result = await put(key, body);
      if (result === 'stored') {
        return undefined;
      }
      failure = `the bucket answered ${result.status}`;
      if (result.status < 500 && result.status !== 429) {
        return failure;
      }
    } catch (error) {
      failure = errorMessage(error);
    }
    if (delayMs !== undefined) {
      await sleep(delayMs);
    }
  }
  return failure;
}

function encryptionHeaders({ encryption, kmsKey }: S3ContentTarget): Readonly<Record<string, string>> {
  return {
    ...(encryption !== undefined && { 'x-amz-server-side-encryption': encryption }),
    ...(kmsKey !== undefined && { 'x-amz-server-side-encryption-aws-kms-key-id': kmsKey }),
  };
}
