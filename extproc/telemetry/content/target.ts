/** Where content is exported to: what the operator says for each destination that policies name. */
import type { ContentDestination } from '../../../contract/content.ts';
import { OTLP_PROTOCOLS, type OtlpProtocol } from '../../../runtime/otlp-protocols.ts';

export interface OtlpContentTarget {
  readonly type: 'otlp';
  readonly url: string;
  readonly protocol: OtlpProtocol;
}

export interface S3ContentTarget {
  readonly type: 's3';
  /** `http(s)://HOST[:PORT]` of a provider other than AWS. */
  readonly endpoint?: string;
  readonly bucket: string;
  /** Of all keys: empty, or with a slash at the end. */
  readonly prefix: string;
  readonly region: string;
  /** Encryption at rest; absent: as the bucket does by default. */
  readonly encryption?: 'AES256' | 'aws:kms';
  /** The id or ARN of the KMS key; absent: that of the account. */
  readonly kmsKey?: string;
}

export type ContentTarget = OtlpContentTarget | S3ContentTarget;

/** Returns what policies call a target. */
export function destinationOf({ type }: ContentTarget): ContentDestination {
  return type === 'otlp' ? 'OTLPLogs' : 'S3';
}

const s3Parameters: ReadonlySet<string> = new Set(['region', 'encryption', 'kms-key']);

/**
 * Reads `otlp+URL?protocol=PROTOCOL`, `s3://BUCKET/PREFIX?region=REGION` for AWS and
 * `s3+URL?region=REGION` for others, whose path begins with the bucket, separated by commas;
 * undefined: the form is wrong.
 */
export function parseContentTargets(text: string): readonly ContentTarget[] | undefined {
  const targets = text.split(',').map((part) => parseTarget(part.trim()));
  const known = targets.filter((target) => target !== undefined);
  const isComplete = known.length === targets.length && new Set(known.map(({ type }) => type)).size === known.length;
  return isComplete ? known : undefined;
}

function parseTarget(text: string): ContentTarget | undefined {
  const [, type, rest = ''] = /^(otlp|s3)\+(https?:\/\/\S+)$/.exec(text) ?? [];
  const url = URL.parse(type === undefined ? text : rest);
  if (url === null || url.username !== '' || url.hash !== '') {
    return undefined;
  }
  if (type === 'otlp') {
    return otlpTarget(url);
  }
  if (type === 's3') {
    const [, bucket = '', ...prefix] = url.pathname.split('/');
    return s3Target(url, bucket, prefix.join('/'), url.origin);
  }
  return url.protocol === 's3:' ? s3Target(url, url.host, url.pathname.slice(1), undefined) : undefined;
}

/** The other parameters belong to the collector. */
function otlpTarget(url: URL): OtlpContentTarget | undefined {
  const named = url.searchParams.get('protocol') ?? 'http/protobuf';
  const protocol = OTLP_PROTOCOLS.find((each) => each === named);
  url.searchParams.delete('protocol');
  return protocol && { type: 'otlp', url: url.href, protocol };
}

function s3Target(
  { searchParams }: URL,
  bucket: string,
  prefix: string,
  endpoint: string | undefined,
): S3ContentTarget | undefined {
  const region = searchParams.get('region') ?? '';
  const encryption = searchParams.get('encryption') ?? undefined;
  const kmsKey = searchParams.get('kms-key') ?? undefined;
  const isEncryption = encryption === undefined || encryption === 'AES256' || encryption === 'aws:kms';
  const isKnown = [...searchParams.keys()].every((name) => s3Parameters.has(name));
  const isPlace = /^[a-z0-9.-]{3,63}$/.test(bucket) && /^[\w/!.*'()-]*$/.test(prefix) && /^[a-z0-9-]+$/.test(region);
  if (!isKnown || !isEncryption || !isPlace) {
    return undefined;
  }
  if (kmsKey !== undefined && encryption !== 'aws:kms') {
    return undefined;
  }
  return {
    type: 's3',
    ...(endpoint !== undefined && { endpoint }),
    bucket,
    prefix: prefix.replace(/\/*$/, prefix === '' ? '' : '/'),
    region,
    ...(encryption !== undefined && { encryption }),
    ...(kmsKey !== undefined && { kmsKey }),
  };
}
