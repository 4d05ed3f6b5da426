import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseContentTargets } from './target.ts';

test('collectors and buckets are read with their parameters', () => {
  assert.deepEqual(
    parseContentTargets('otlp+http://c:4318/v1/logs, s3://b-1/p/q?region=eu-central-1&encryption=aws:kms&kms-key=k'),
    [
      { type: 'otlp', url: 'http://c:4318/v1/logs', protocol: 'http/protobuf' },
      { type: 's3', bucket: 'b-1', prefix: 'p/q/', region: 'eu-central-1', encryption: 'aws:kms', kmsKey: 'k' },
    ],
  );
  assert.deepEqual(parseContentTargets('s3+http://minio:9000/bucket?region=us-east-1'), [
    { type: 's3', endpoint: 'http://minio:9000', bucket: 'bucket', prefix: '', region: 'us-east-1' },
  ]);
  assert.deepEqual(parseContentTargets('otlp+https://c:4317?protocol=grpc'), [
    { type: 'otlp', url: 'https://c:4317/', protocol: 'grpc' },
  ]);
  assert.deepEqual(parseContentTargets('otlp+https://c/logs?team=a&protocol=http/json'), [
    { type: 'otlp', url: 'https://c/logs?team=a', protocol: 'http/json' },
  ]);
});

test('targets of another form are refused', () => {
  for (const wrong of [
    '',
    'http://c',
    'otlp+http://c?protocol=thrift',
    's3://bucket/p',
    's3://Bucket_/p?region=r',
    's3+http://minio:9000?region=r',
    's3+http://user:secret@minio/bucket?region=r',
    's3://bucket/p%zz?region=r',
    's3://bucket/p?region=r&encryption=none',
    's3://bucket/p?region=r&kms-key=k',
    's3://bucket/p?region=r&acl=public-read',
    'otlp+http://a,otlp+http://b',
  ]) {
    assert.equal(parseContentTargets(wrong), undefined, wrong);
  }
});
