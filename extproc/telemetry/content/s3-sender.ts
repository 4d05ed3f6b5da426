/** Stores content in an S3-compatible bucket, as objects of JSON Lines with many entries each. */
import { randomUUID } from 'node:crypto';
import { PutObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { errorMessage } from '../../../runtime/error-message.ts';
import type { ContentEntry } from './entry.ts';
import { type ContentSender, SEND_TIMEOUT_MS, type SendFailure } from './sender.ts';
import type { S3ContentTarget } from './target.ts';

/** An access key for the bucket. */
export interface S3AccessKey {
  readonly id: string;
  readonly secret: string;
  readonly sessionToken?: string;
}

const CONNECT_TIMEOUT_MS = 2_000;
const MAX_OPEN = 4;
/** Of one object: each costs a request, and is one more to read. */
const MAX_UNITS = 2 * 1024 * 1024;
/** Entries younger than this are lost when the process is killed. */
const MAX_DELAY_MS = 1_000;

/** `accessKey`: absent: the identity of this process, as AWS's SDK finds and renews it. */
export function s3ContentSender(
  target: S3ContentTarget,
  accessKey: S3AccessKey | undefined,
  timeoutMs: number = SEND_TIMEOUT_MS,
): ContentSender {
  const { endpoint, region } = target;
  const client = new S3Client({
    region,
    // Other providers do not know the names of buckets as hosts, nor AWS's newer checksums.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' }),
    ...(accessKey && { credentials: sdkCredentials(accessKey) }),
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: MAX_OPEN },
      httpsAgent: { maxSockets: MAX_OPEN },
    },
  });
  const sender = randomUUID();
  let objects = 0;
  return {
    maxEntries: Number.POSITIVE_INFINITY,
    maxUnits: MAX_UNITS,
    delayMs: MAX_DELAY_MS,
    maxOpen: MAX_OPEN,
    async send(entries) {
      const outcomes = await Promise.all(
        [...byHour(entries)].map(async ([hour, each]) => {
          const failure = await store(client, target, `${hour}/${nameOf(each, sender, ++objects)}`, each, timeoutMs);
          return { entries: each.length, failure };
        }),
      );
      const failed = outcomes.filter(({ failure }) => failure !== undefined);
      const lost = failed.reduce((sum, outcome) => sum + outcome.entries, 0);
      return { accepted: entries.length - lost, failure: failed[0]?.failure };
    },
  };
}

function sdkCredentials({ id, secret, sessionToken }: S3AccessKey) {
  return { accessKeyId: id, secretAccessKey: secret, ...(sessionToken !== undefined && { sessionToken }) };
}

/** Returns the entries by the hour in which their requests began: `YEAR/MONTH/DAY/HOUR`. */
function byHour(entries: readonly ContentEntry[]): ReadonlyMap<string, readonly ContentEntry[]> {
  return Map.groupBy(entries, ({ timeMs }) => new Date(timeMs).toISOString().slice(0, 13).replaceAll(/[-T]/g, '/'));
}

/** Returns a name that no other process uses, and that sorts by the time of the first request. */
function nameOf(entries: readonly ContentEntry[], sender: string, object: number): string {
  const firstMs = Math.min(...entries.map(({ timeMs }) => timeMs));
  const minute = new Date(firstMs).toISOString().slice(14, 19).replace(':', '-');
  return `${minute}-${sender}-${object}.jsonl`;
}

function lineOf({ id, timeMs, span, attributes, instructions, input, output }: ContentEntry): string {
  const time = new Date(timeMs).toISOString();
  const content = { system_instructions: instructions, input_messages: input, output_messages: output };
  return `${JSON.stringify({ id, time, ...span, attributes, ...content })}\n`;
}

/** Returns why the entries are not stored. */
async function store(
  client: S3Client,
  target: S3ContentTarget,
  name: string,
  entries: readonly ContentEntry[],
  timeoutMs: number,
): Promise<SendFailure | undefined> {
  const { bucket, prefix, encryption, kmsKey } = target;
  const command = new PutObjectCommand({
    Bucket: bucket,
    Key: `${prefix}${name}`,
    Body: entries.map(lineOf).join(''),
    ContentType: 'application/x-ndjson',
    ...(encryption !== undefined && { ServerSideEncryption: encryption }),
    ...(kmsKey !== undefined && { SSEKMSKeyId: kmsKey }),
  });
  try {
    await client.send(command, { abortSignal: AbortSignal.timeout(2 * timeoutMs) });
    return undefined;
  } catch (error) {
    return error instanceof S3ServiceException
      ? refusalOf(error, target)
      : { reason: 'export_failed', text: connectionText(error) };
  }
}

/** What an operator does about an error of S3, by its code. */
const fixes: Readonly<Record<string, string>> = {
  AccessDenied: 'allow s3:PutObject on its objects and, with aws:kms, kms:GenerateDataKey on the key',
  AllAccessDisabled: 'use another bucket',
  ExpiredToken: 'replace the access key and its session token',
  InvalidAccessKeyId: 'replace the access key',
  InvalidToken: 'replace the access key and its session token',
  NoSuchBucket: 'create it, or correct TALLYGATE_CONTENT_EXPORT',
  RequestTimeTooSkewed: 'correct the clock of this machine',
  SignatureDoesNotMatch: 'replace the secret access key, or correct the region',
};

function refusalOf(error: S3ServiceException, { bucket, region }: S3ContentTarget): SendFailure {
  const { httpStatusCode: status = 0 } = error.$metadata;
  const said = error.$response?.headers['x-amz-bucket-region'];
  const isElsewhere = said !== undefined && said !== region;
  const fix = isElsewhere ? `correct region=${region} in TALLYGATE_CONTENT_EXPORT to ${said}` : fixes[error.name];
  const text = `the bucket ${bucket} answered ${status} (${error.name})`;
  const isFinal = status < 500 && status !== 408 && status !== 429;
  return {
    reason: isFinal ? 'export_refused' : 'export_failed',
    text: fix === undefined ? text : `${text}: ${fix}`,
  };
}

/** Of a name with several addresses, only the code says something. */
function connectionText(error: unknown): string {
  if (error instanceof Error && error.name === 'CredentialsProviderError') {
    return 'no credentials for the bucket: set TALLYGATE_CONTENT_S3_KEY_ID and TALLYGATE_CONTENT_S3_SECRET_KEY, or give this process an identity of AWS';
  }
  return errorMessage(error) || String((error as NodeJS.ErrnoException).code ?? 'no connection');
}
