import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure, failureCodes, withPlainMessage } from './errors.ts';
import { anthropicDialect } from './providers/anthropic/errors.ts';
import { openAiDialect } from './providers/openai/errors.ts';
import { tgiDialect } from './providers/tgi/errors.ts';
import { refusal } from './session/replies.ts';

const names = 'quota team-a/limits/per-minute (4321 tokens), rule cheap of team-a/chat';

for (const code of failureCodes) {
  test(`${code} in plain words names nothing of the configuration, and is the same refusal otherwise`, () => {
    const full = failure(code, `The ${names} refuses.`, { param: 'field', retryAfterMs: 2500, shouldRetry: true });
    for (const dialect of [openAiDialect, anthropicDialect, tgiDialect]) {
      const said = refusal(dialect, full, [], 0, 'id');
      const plain = refusal(dialect, withPlainMessage(full), [], 0, 'id');
      assert.deepEqual({ ...plain, body: said.body }, said);
      const before = Buffer.from(said.body ?? []).toString();
      const after = Buffer.from(plain.body ?? []).toString();
      assert.ok(before.includes(names));
      assert.doesNotMatch(after, /team-a|limits|per-minute|4321|cheap/);
      const message = withPlainMessage(full).message;
      assert.match(message, /^[A-Z][^/`0-9]+\.$/);
      assert.equal(after, before.replace(full.message, message));
    }
  });
}
