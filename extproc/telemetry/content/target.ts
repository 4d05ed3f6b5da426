/** Where content is exported to: what the operator says for each destination that policies name. */

export interface OtlpContentTarget {
  readonly type: 'otlp';
  readonly url: string;
}

export interface S3ContentTarget {
  readonly type: 's3';
  /** Of the bucket and the prefix of all keys, with a slash at the end. */
  readonly url: string;
  readonly region: string;
  /** Encryption at rest; absent: as the bucket does by default. */
  readonly encryption?: 'AES256' | 'aws:kms';
  /** The id or ARN of the KMS key; absent: that of the account. */
  readonly kmsKey?: string;
}

export type ContentTarget = OtlpContentTarget | S3ContentTarget;

const parameters: ReadonlySet<string> = new Set(['region', 'encryption', 'kms-key']);

/**
 * Reads `otlp+URL`, `s3://BUCKET/PREFIX?region=REGION` for AWS and `s3+URL?region=REGION` for
 * others, whose path begins with the bucket, separated by commas; undefined: the form is wrong.
 */
export function parseContentTargets(text: string): readonly ContentTarget[] | undefined {
  const targets = text.split(',').map((part) => parseTarget(part.trim()));
  const known = targets.filter((target) => target !== undefined);
  const isComplete = known.length === targets.length && new Set(known.map(({ type }) => type)).size === known.length;
  return isComplete ? known : undefined;
}

function parseTarget(text: string): ContentTarget | undefined {
  const otlp = /^otlp\+(https?:\/\/\S+)$/.exec(text);
  if (otlp !== null) {
    const url = URL.parse(otlp[1]!);
    return url === null || url.username !== '' || url.hash !== '' ? undefined : { type: 'otlp', url: url.href };
  }
  const s3 = /^s3(?::\/\/([a-z0-9.-]{3,63})(?=[/?])|\+(?=https?:\/\/))(\S*)$/.exec(text);
  return s3 === null ? undefined : s3Target(s3[1], s3[2]!);
}

function s3Target(bucket: string | undefined, rest: string): S3ContentTarget | undefined {
  const region = /[?&]region=([a-z0-9-]+)(&|$)/.exec(rest)?.[1];
  const url = URL.parse(bucket === undefined ? rest : `https://${bucket}.s3.${region}.amazonaws.com${rest}`);
  if (url === null || region === undefined || url.username !== '' || url.hash !== '') {
    return undefined;
  }
  const names = [...url.searchParams.keys()];
  const encryption = url.searchParams.get('encryption') ?? undefined;
  const kmsKey = url.searchParams.get('kms-key') ?? undefined;
  const isEncryption = encryption === undefined || encryption === 'AES256' || encryption === 'aws:kms';
  const hasBucket = bucket !== undefined || url.pathname.length > 1;
  if (!names.every((name) => parameters.has(name)) || !isEncryption || !hasBucket) {
    return undefined;
  }
  if (kmsKey !== undefined && encryption !== 'aws:kms') {
    return undefined;
  }
  return {
    type: 's3',
    url: `${url.origin}${url.pathname.replace(/\/*$/, '/')}`,
    region,
    ...(encryption !== undefined && { encryption }),
    ...(kmsKey !== undefined && { kmsKey }),
  };
}
