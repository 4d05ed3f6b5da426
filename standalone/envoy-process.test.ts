import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../runtime/log.ts';
import { envoyLog } from './envoy-process.ts';

test('a log line of Envoy does not quote the token of a cookie', () => {
  const written: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line: string) => written.push(line) } });
  const line = envoyLog(log, () => 0);
  line('E oauth2 [Tags: "ConnectionId":"7"] failed to decrypt token: eyJhbGciOiJSUzI1NiJ9.e30.c2ln, error: invalid');
  const [text = ''] = written;
  assert.match(text, /failed to decrypt token: …, error: invalid/);
  assert.doesNotMatch(text, /eyJ/);
});
