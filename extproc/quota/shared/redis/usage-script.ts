/**
 * Takes a batch of settled requests of one replica and one hour into the shared store, once. An
 * hour is three hashes in one slot of a cluster:
 * - `taken`: by replica, the id of its last request; `s` and `r`: the bytes of the other two.
 * - `sums`: by names, such as tenant and model, the sums of the hour.
 * - `requests`: by the replica and id of the last request, compressed blocks of single requests.
 *
 * The first command needs a permission that no other call of the gateway does, and the first write
 * also needs memory: a store that lacks either refuses the whole batch.
 */

/** Sums stay integers that Lua and JavaScript represent exactly. */
const MAX_SUM = Number.MAX_SAFE_INTEGER;

/** What Redis takes for a field of a hash, beside its name and value. */
const FIELD_BYTES = 80;

/** Returns whether the batch was taken, and the last id that was taken before. */
export const TAKE_SCRIPT = `
local takenKey, sumsKey, requestsKey = KEYS[1], KEYS[2], KEYS[3]
local replica, block = ARGV[1], ARGV[2]
local after, last, known, untilMs, requestsUntilMs, most =
  tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8])
local rows = redis.call('HLEN', sumsKey)
local taken, sumBytes, requestBytes = unpack(redis.call('HMGET', takenKey, replica, 's', 'r'))
taken = tonumber(taken or 0)
if taken > after or taken < known then
  return {0, string.format('%.0f', taken)}
end
redis.call('HSET', takenKey, replica, last)
sumBytes, requestBytes = tonumber(sumBytes or 0), tonumber(requestBytes or 0)
for i = 9, #ARGV, 3 do
  local field = ARGV[i]
  local before = redis.call('HGET', sumsKey, field)
  if not before and rows >= most then
    field = ARGV[i + 1]
    before = redis.call('HGET', sumsKey, field)
  end
  local amounts = {}
  local former = string.gmatch(before or '', '%d+')
  for amount in string.gmatch(ARGV[i + 2], '%d+') do
    local sum = tonumber(amount) + tonumber(former() or 0)
    amounts[#amounts + 1] = string.format('%.0f', math.min(sum, ${MAX_SUM}))
  end
  local sums = table.concat(amounts, ',')
  redis.call('HSET', sumsKey, field, sums)
  sumBytes = sumBytes + #sums - #(before or '')
  if not before then
    rows = rows + 1
    sumBytes = sumBytes + #field + ${FIELD_BYTES}
  end
end
redis.call('PEXPIREAT', sumsKey, untilMs)
if #block > 0 then
  local field = replica .. ':' .. last
  redis.call('HSET', requestsKey, field, block)
  redis.call('PEXPIREAT', requestsKey, requestsUntilMs)
  requestBytes = requestBytes + #field + #block + ${FIELD_BYTES}
end
redis.call('HSET', takenKey, 's', string.format('%.0f', sumBytes), 'r', string.format('%.0f', requestBytes))
redis.call('PEXPIREAT', takenKey, untilMs)
return {1, string.format('%.0f', taken)}
`;

/** The keys of one hour, which are in one slot of a cluster. */
export interface HourKeys {
  readonly taken: string;
  readonly sums: string;
  readonly requests: string;
}

export function hourKeys(keyPrefix: string, hour: number): HourKeys {
  const start = `${keyPrefix}:usage:{${hour}}`;
  return { taken: `${start}:taken`, sums: `${start}:sums`, requests: `${start}:requests` };
}
