/** What gateways keep in a shared quota store. */
import { Redis } from 'ioredis';
import { Output } from './outputs.ts';

const EVERYTHING = `
local readers = {
  string = function(key) return { redis.call('GET', key) } end,
  hash = function(key) return redis.call('HGETALL', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1) end,
  stream = function(key) return redis.call('XRANGE', key, '-', '+') end,
}
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  found[#found + 1] = { key, readers[redis.call('TYPE', key).ok](key) }
end
return found
`;

/** Reads all keys and values of the Redis server at a port of this machine. */
export async function readStore(port: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: 0 });
  client.on('error', () => {});
  try {
    const output = new Output('the shared quota store');
    addAll(output, await client.callBuffer('EVAL', EVERYTHING, '0'));
  } finally {
    client.disconnect();
  }
}

function addAll(output: Output, value: unknown): void {
  if (Array.isArray(value)) {
    for (const each of value) {
      addAll(output, each);
    }
  } else if (value !== null) {
    output.add(Buffer.isBuffer(value) ? value : `${value}`);
    output.add('\n');
  }
}
