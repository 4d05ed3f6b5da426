/** Reads which session of a coding agent sent a request. */
import { AGENT_ID_HEADERS } from '../../contract/headers.ts';
import type { HeaderList } from '../exchange.ts';
import type { AgentIds } from '../record.ts';

/** Ids that fit into a log line. A client may send anything; other values are not recorded. */
const ID = /^[\w.~:=+/@-]{1,128}$/;

/** Returns the ids that a request has. They identify no person, and nothing trusts them. */
export function agentIds(headers: HeaderList): AgentIds | undefined {
  let ids: { -readonly [K in keyof AgentIds]: AgentIds[K] } | undefined;
  for (const [name, value] of headers) {
    const field = AGENT_ID_HEADERS.get(name);
    if (field !== undefined && ID.test(value)) {
      ids ??= { sessionId: undefined, agentId: undefined, parentAgentId: undefined };
      ids[field] = value;
    }
  }
  return ids;
}
