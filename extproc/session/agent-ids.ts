/** Reads which session of a coding agent sent a request; see `AGENT_ID_HEADERS`. */
import type { HeaderList } from '../exchange.ts';
import type { AgentIds } from '../record.ts';

/** Ids that fit into a log line. A client may send anything; other values are not recorded. */
const ID = /^[\w.~:=+/@-]{1,128}$/;

/** Returns the ids that a request has. They identify no person, and nothing trusts them. */
export function agentIds(headers: HeaderList): AgentIds | undefined {
  let ids: { -readonly [K in keyof AgentIds]: AgentIds[K] } | undefined;
  for (const [name, value] of headers) {
    const field = fieldOf(name);
    if (field !== undefined && ID.test(value)) {
      ids ??= { sessionId: undefined, agentId: undefined, parentAgentId: undefined };
      ids[field] = value;
    }
  }
  return ids;
}

/** A switch takes half the time of a look-up in a Map, and this runs for each header. */
function fieldOf(name: string): keyof AgentIds | undefined {
  switch (name) {
    case 'x-claude-code-session-id':
    case 'session-id':
    case 'session_id':
      return 'sessionId';
    case 'x-claude-code-agent-id':
      return 'agentId';
    case 'x-claude-code-parent-agent-id':
      return 'parentAgentId';
    default:
      return undefined;
  }
}
