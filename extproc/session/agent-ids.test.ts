import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT_ID_HEADERS } from '../../contract/headers.ts';
import { agentIds } from './agent-ids.ts';

test('the ids of Claude Code and Codex are read', () => {
  assert.deepEqual(
    agentIds([
      ['x-claude-code-session-id', '6f1c7b0d-1f4f-4a4b'],
      ['x-claude-code-agent-id', 'agent-1'],
      ['x-claude-code-parent-agent-id', 'agent-0'],
    ]),
    { sessionId: '6f1c7b0d-1f4f-4a4b', agentId: 'agent-1', parentAgentId: 'agent-0' },
  );
  assert.equal(agentIds([['session_id', '0199-aa']])?.sessionId, '0199-aa');
  for (const name of AGENT_ID_HEADERS) {
    assert.notEqual(agentIds([[name, '0199-aa']]), undefined, name);
  }
});

test('values that are no ids, and requests of other clients, have none', () => {
  for (const value of ['', 'a b', 'a"b', 'a\nb', 'é', 'a'.repeat(129)]) {
    assert.equal(agentIds([['x-claude-code-session-id', value]]), undefined, value);
  }
  assert.equal(agentIds([['x-session-id', 'one']]), undefined);
});
