// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such strings are what is tested.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expand, type Lookup } from './variables.ts';

const lookup: Lookup = {
  environment: (name) => ({ KEY: 'sk-1', EMPTY: '', TRICKY: '${KEY} $& $1' })[name],
  file: (path, from) => (path === 'key.txt' ? `from ${from}\n` : undefined),
};

const value = (text: string) => expand(text, 'a.yaml', lookup);

test('variables, defaults, files and plain text expand', () => {
  assert.deepEqual(value('Bearer ${KEY}!'), { value: 'Bearer sk-1!' });
  assert.deepEqual(value('${NONE:-none}${EMPTY:-empty}${KEY:-x}${NONE:-}'), { value: 'noneemptysk-1' });
  assert.deepEqual(value('${EMPTY}'), { value: '' });
  assert.deepEqual(value('${file:key.txt}'), { value: 'from a.yaml' });
  assert.deepEqual(value('$KEY $${KEY} ${}'), { value: '$KEY ${KEY} ${}' });
});

test('an expanded value is not expanded again', () => assert.deepEqual(value('${TRICKY}'), { value: '${KEY} $& $1' }));

test('a missing variable or file is reported with a fix', () => {
  assert.deepEqual(value('${NONE}'), {
    missing: 'the environment variable NONE is not set',
    fix: 'export it, or write ${NONE:-default}',
  });
  assert.ok('missing' in value('${file:none.txt}'));
});
