import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveStream } from '../../console/api/source.ts';
import { firstState, press, type TopChoices, type TopState } from './control.ts';
import { STREAMS_SECTION } from './sections.ts';

const stream: LiveStream = {
  id: 'first',
  tenant: 'acme',
  model: 'gpt',
  stream: true,
  startedAt: '',
  inputTokens: 0,
  outputTokens: 0,
  heldTokens: 0,
};
const choices: TopChoices = { rows: [3, 0, 2, 1, 1], streams: [stream, { ...stream, id: 'second' }] };
const streams: TopState = { selected: STREAMS_SECTION, row: 1 };

const after = (state: TopState, ...names: readonly string[]) =>
  names.reduce((before, name) => press(before, { name }, choices).state, state);

test('keys choose a section and a row', () => {
  assert.deepEqual(after(firstState, 'down', 'down', 'down', 'down'), { selected: 0, row: 2 });
  assert.deepEqual(after(firstState, 'down', 'up', 'up'), { selected: 0, row: 0 });
  assert.deepEqual(after(firstState, 'tab', 'down'), { selected: 1, row: 0 });
  assert.deepEqual(after(firstState, 'left'), { selected: 4, row: 0 });
  assert.deepEqual(after(firstState, 'left', 'right', 'x'), { selected: 0, row: 0 });
  assert.deepEqual(press(firstState, { name: 'tab', shift: true }, choices).state.selected, 4);
  const fewer = { ...choices, rows: [1, 0, 0, 0, 0] };
  assert.equal(press({ selected: 0, row: 9 }, { name: 'up' }, fewer).state.row, 0);
});

test('q and Ctrl-C end', () => {
  assert.deepEqual(press(streams, { name: 'q' }, choices).action, { type: 'quit' });
  assert.deepEqual(press(after(streams, 's'), { name: 'c', ctrl: true }, choices).action, { type: 'quit' });
  assert.equal(press(streams, { name: 'c' }, choices).action, undefined);
});

test('a request is stopped only after a question that names it', () => {
  const asked = after(streams, 's');
  assert.equal(asked.asking?.id, 'second');
  assert.match(asked.message ?? '', /^y stops the request of acme, gpt/);
  // Meanwhile, the first request has ended.
  const later = { ...choices, streams: [] };
  const { action, state } = press(asked, { name: 'y' }, later);
  assert.deepEqual([action?.type, action?.type === 'stop' && action.stream.id], ['stop', 'second']);
  assert.equal(state.asking, undefined);
  for (const name of ['n', 's', 'q', 'escape', 'return']) {
    const refused = press(asked, { name }, choices);
    assert.deepEqual([refused.action, refused.state.asking], [undefined, undefined], name);
  }
  assert.equal(press(streams, { name: 'y' }, choices).action, undefined);
  assert.equal(after(firstState, 's').asking, undefined);
});
