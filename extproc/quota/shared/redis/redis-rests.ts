/**
 * Rests on Redis or Valkey: one sorted set, whose members are the names and whose scores are the
 * ends by the clock of the store. Uses no command that the exchange of allowances does not use, so
 * it needs no further permission.
 */
import { createHash } from 'node:crypto';
import { MAX_SHARED_RESTS, type SharedRest } from '../rest-store.ts';
import type { RedisClient } from './redis-client.ts';

/** Ended members that one exchange removes, and members beyond the bound. */
const MAX_REMOVED = 1_000;

const REST_SCRIPT = `
local rests = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = redis.call('ZRANGEBYSCORE', rests, '-inf', now, 'LIMIT', 0, ${MAX_REMOVED})
if #ended > 0 then redis.call('ZREM', rests, unpack(ended)) end
for i = 1, #ARGV, 2 do
  redis.call('ZADD', rests, 'GT', now + ARGV[i + 1], ARGV[i])
end
if #ARGV > 0 then
  local surplus = redis.call('ZRANGEBYSCORE', rests, '-inf', '+inf', 'LIMIT', ${MAX_SHARED_RESTS}, ${MAX_REMOVED})
  if #surplus > 0 then redis.call('ZREM', rests, unpack(surplus)) end
end
local all = redis.call('ZRANGEBYSCORE', rests, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, ${MAX_SHARED_RESTS})
if #all > 0 and #ARGV > 0 then redis.call('PEXPIREAT', rests, all[#all]) end
for i = 2, #all, 2 do
  all[i] = all[i] - now
end
return all
`;

const SHA = createHash('sha1').update(REST_SCRIPT).digest('hex');

export class RedisRests {
  readonly #client: RedisClient;
  readonly #key: string;

  constructor(client: RedisClient, keyPrefix: string) {
    this.#client = client;
    this.#key = `${keyPrefix}:rests`;
  }

  /** Returns undefined where the store does not answer: who asks repeats what still matters. */
  async exchange(began: readonly SharedRest[]): Promise<readonly SharedRest[] | undefined> {
    const given = began.flatMap(({ name, forMs }) => [name, Math.ceil(forMs)]);
    try {
      return readRests(await this.#run(given));
    } catch {
      // The exchange of allowances reports what is wrong with the store.
      return undefined;
    }
  }

  async #run(given: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#client.evalsha(SHA, 1, this.#key, ...given);
    } catch (error) {
      if (!String((error as Error).message).startsWith('NOSCRIPT')) {
        throw error;
      }
    }
    return await this.#client.eval(REST_SCRIPT, 1, this.#key, ...given);
  }
}

function readRests(reply: unknown): readonly SharedRest[] | undefined {
  if (!Array.isArray(reply)) {
    return undefined;
  }
  const rests: SharedRest[] = [];
  for (let at = 0; at + 1 < reply.length; at += 2) {
    rests.push({ name: String(reply[at]), forMs: Number(reply[at + 1]) });
  }
  return rests;
}
