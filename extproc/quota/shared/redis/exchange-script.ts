/**
 * The exchange of `MemoryAllowances` as a script that Redis runs atomically. A window is a hash and
 * a sorted set in one slot of a cluster:
 * - `h`: what seldom changes; `t`: the totals; `s`: the segments of a sliding window. Packed,
 *   because a hash with values of up to 64 bytes takes a fraction of the memory.
 * - `c`: the allowance with precedence; `w`: when that ends, and the units.
 * - `a` + id: an open allowance; `e` + id: the charge of an ended one; `o` + id: an operation.
 * - the sorted set: `a` + id by when it ends, `e` + id by when it is forgotten.
 *
 * Totals are kept up to date, so an exchange takes O(log n) for n replicas. The first command that
 * writes also needs memory, so a store that is full refuses the whole exchange.
 */
import { SEGMENTS_PER_WINDOW } from '../../sliding.ts';
import {
  type AllowanceAnswer,
  type AllowanceRequest,
  KEPT_AFTER_END_MS,
  KEPT_ENDED_MS,
  MAX_AHEAD_MS,
  PRECEDENCE_MS,
} from '../allowances.ts';

/** Ended allowances that one exchange settles; the rest is left to the next, to keep each short. */
const MAX_ENDED_AT_ONCE = 256;

export const EXCHANGE_SCRIPT = `
local record, ends = KEYS[1], KEYS[2]
local kind, id, operation, operationId = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local operationUnits, number, reported, want, least, ttlMs, seenMs, windowLimit, windowEpoch, windowCounter,
  startMs, endMs, slidingMs, earlierWindows
do
  local n = {}
  for i = 5, #ARGV do n[i - 4] = tonumber(ARGV[i]) end
  operationUnits, number, reported, want, least, ttlMs, seenMs, windowLimit, windowEpoch, windowCounter,
    startMs, endMs, slidingMs, earlierWindows = unpack(n)
end
if endMs < 0 then endMs = math.huge end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The record.
local head, totals, packedSegments, known, ended, isDone, firstId, packedFirst =
  unpack(redis.call('HMGET', record, 'h', 't', 's', 'a' .. id, 'e' .. id, 'o' .. operationId, 'c', 'w'))
local forgottenMs, limit, epoch, counter, granted, debt, forgivenDebt, recovered, durationMs, grantedUntilMs
if head then
  forgottenMs, limit, epoch, counter, granted, debt, forgivenDebt, recovered, durationMs, grantedUntilMs =
    cmsgpack.unpack(head)
  -- An older gateway wrote no end.
  grantedUntilMs = grantedUntilMs or math.huge
  if forgottenMs <= now then
    redis.call('DEL', record, ends)
    head, totals, packedSegments, known, ended, isDone, firstId = false, false, false, false, false, false, false
  end
end
local charged, openSpent, openUnspent, spentBefore, clock, clockOffset, sincePeak, open = 0, 0, 0, 0, now, 0, -1, 0
if head then
  charged, openSpent, openUnspent, spentBefore, clock, clockOffset, sincePeak, open = cmsgpack.unpack(totals)
else
  if endMs + ${KEPT_AFTER_END_MS} <= math.max(now, seenMs) or startMs > now + ${MAX_AHEAD_MS} then
    return {3, 0, 0, 0, 0, 0, 0, 0, now, 0, 0, 0}
  end
  limit, epoch, counter, granted, debt, forgivenDebt, recovered, durationMs, grantedUntilMs =
    windowLimit, windowEpoch, windowCounter, 0, 0, 0, 0, slidingMs, 0
end
if windowEpoch > epoch or (windowEpoch == epoch and windowCounter > counter) then
  limit, epoch, counter = windowLimit, windowEpoch, windowCounter
end
if kind == 'fixed' then
  forgottenMs = endMs + ${KEPT_AFTER_END_MS}
else
  forgottenMs = now + slidingMs + ttlMs + ${KEPT_ENDED_MS}
end

-- Segments: number and amount in turn, the oldest first.
local isSliding = kind == 'sliding'
local segments, sum, segmentMs = {}, 0, 1
if isSliding then
  segmentMs = math.max(1, math.ceil(durationMs / ${SEGMENTS_PER_WINDOW}))
  if packedSegments then segments = cmsgpack.unpack(packedSegments) end
  for i = 2, #segments, 2 do sum = sum + segments[i] end
end
local function slide(units)
  if units <= 0 or not isSliding then return end
  local segment = math.floor(clock / segmentMs)
  local last = #segments
  sum = sum + units
  if last > 0 and segments[last - 1] >= segment then
    segments[last] = segments[last] + units
  else
    segments[last + 1], segments[last + 2] = segment, units
  end
end
local function spentNow()
  if isSliding then return sum end
  return charged + openSpent + debt
end

-- The record's clock never goes back.
local peakMs = sincePeak >= 0 and clock - sincePeak or nil
local later = math.max(clock, now + clockOffset)
clock, clockOffset = later, later - now

-- The ends of allowances whose replica is silent.
local hashWrites, setWrites = {}, {}
local hashRemovals, setRemovals = {}, {}
local function finish(endedId, packed)
  local units, spent = cmsgpack.unpack(packed)
  open, openSpent, openUnspent = open - 1, openSpent - spent, openUnspent - (units - spent)
  local charge = 0
  if kind ~= 'concurrent' then
    charge = units
    charged, recovered = charged + units, recovered + units - spent
    slide(units - spent)
  end
  hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] = 'e' .. endedId, charge
  setWrites[#setWrites + 1], setWrites[#setWrites + 2] = clock + ${KEPT_ENDED_MS}, 'e' .. endedId
  hashRemovals[#hashRemovals + 1], setRemovals[#setRemovals + 1] = 'a' .. endedId, 'a' .. endedId
  if endedId == id then known, ended = false, charge end
end
if head then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', clock, 'LIMIT', 0, ${MAX_ENDED_AT_ONCE})) do
    local memberId = string.sub(member, 2)
    if string.sub(member, 1, 1) == 'a' then
      finish(memberId, memberId == id and known or redis.call('HGET', record, member))
    else
      hashRemovals[#hashRemovals + 1], setRemovals[#setRemovals + 1] = member, member
      if memberId == id then ended = false end
    end
  end
  if known and select(6, cmsgpack.unpack(known)) <= clock then finish(id, known) end
end
if isSliding then
  if grantedUntilMs <= clock then granted = 0 end
  local first = 1
  while first < #segments and (segments[first] + 1) * segmentMs + durationMs <= clock do
    sum = sum - segments[first + 1]
    first = first + 2
  end
  if first > 1 then
    local kept = {}
    for i = first, #segments do kept[i - first + 1] = segments[i] end
    segments = kept
  end
end

-- The allowance that lacks units and has precedence.
local wasFirst = firstId
local firstEndsMs, firstUnits = 0, 0
if firstId then
  firstEndsMs, firstUnits = cmsgpack.unpack(packedFirst)
  if firstEndsMs <= clock then firstId = false end
end
local isWanted = firstId and firstId ~= id

-- The debt of the last window before that is known. Those between were not used.
local function owedBy(packedHead, packedTotals)
  local _, itsLimit, _, _, itsGrants, itsDebt = cmsgpack.unpack(packedHead)
  local itsCharges, itsOpenSpent = cmsgpack.unpack(packedTotals)
  return math.max(0, itsCharges + itsOpenSpent + itsDebt - itsLimit - itsGrants)
end
for i = 1, earlierWindows do
  local before, beforeTotals = unpack(redis.call('HMGET', KEYS[2 + i], 'h', 't'))
  if before and cmsgpack.unpack(before) > now then
    debt = math.max(0, owedBy(before, beforeTotals) - (i - 1) * limit - forgivenDebt)
    break
  end
end

-- The operator's change.
if operation ~= 'none' and not isDone then
  hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] = 'o' .. operationId, 1
  if operation == 'grant' then
    granted = granted + operationUnits
    grantedUntilMs = clock + durationMs
  else
    charged = -openSpent
    forgivenDebt, debt = forgivenDebt + debt, 0
    segments, sum = {}, 0
    spentBefore = 0
  end
end

-- The request.
local state, units, answeredBefore, answeredSpent, gained = 0, 0, nil, nil, 0
if not known and ended then
  state, units = 1, tonumber(ended)
elseif not known and number ~= 1 then
  state = 2
else
  local allowanceSpent, applied, allowanceBefore, allowanceAfter = 0, 0, 0, 0
  if known then
    units, allowanceSpent, applied, allowanceBefore, allowanceAfter = cmsgpack.unpack(known)
  else
    open = open + 1
  end
  if number > applied then
    local more = math.max(0, reported - allowanceSpent)
    local before = spentNow()
    local unspent = units - allowanceSpent
    local rest = math.max(0, unspent - more)
    allowanceSpent = allowanceSpent + more
    openSpent = openSpent + more
    openUnspent = openUnspent + rest - unspent
    slide(more)
    local change = want - rest
    if change > 0 then
      local kept = isWanted and firstUnits or 0
      local free = math.max(0, limit + granted - spentNow() - openUnspent - kept)
      change = math.min(change, math.max(math.min(least, free), math.floor(free / 2 / open)))
    end
    openUnspent = openUnspent + change
    units = allowanceSpent + rest + change
    gained = math.max(0, change)
    if not isWanted then
      firstId = false
      if least > gained then
        firstId = id
        hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] = 'c', id
        hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] =
          'w', cmsgpack.pack(clock + ${PRECEDENCE_MS}, least - gained)
      end
    end
    local spent = spentNow()
    if not isSliding then
      allowanceBefore, spentBefore = spentBefore, spent
    else
      local isRecent = peakMs ~= nil and clock - peakMs < durationMs
      allowanceBefore = isRecent and math.max(spentBefore, before) or before
      if not isRecent or spent >= spentBefore then
        spentBefore, peakMs = spent, clock
      end
    end
    allowanceAfter = spent
    hashWrites[#hashWrites + 1] = 'a' .. id
    hashWrites[#hashWrites + 1] =
      cmsgpack.pack(units, allowanceSpent, number, allowanceBefore, allowanceAfter, clock + ttlMs)
    setWrites[#setWrites + 1], setWrites[#setWrites + 2] = clock + ttlMs, 'a' .. id
  end
  answeredBefore, answeredSpent = allowanceBefore, allowanceAfter
end

-- The answer.
local spent = spentNow()
local taken = spent + openUnspent
local retryMs = 0
local missing = taken + math.max(0, least - gained) - limit - granted
if isSliding and missing > 0 then
  if missing > sum then
    retryMs = durationMs
  else
    local left = sum
    for i = 1, #segments, 2 do
      if left <= sum - missing then break end
      left = left - segments[i + 1]
      if left <= sum - missing then retryMs = (segments[i] + 1) * segmentMs + durationMs - clock end
    end
  end
end

local ageMs = #segments > 0 and math.max(0, clock - segments[1] * segmentMs) or 0

-- What has changed.
local newTotals = cmsgpack.pack(charged, openSpent, openUnspent, spentBefore, clock, clockOffset,
  peakMs and clock - peakMs or -1, open)
hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] = 't', newTotals
local newHead = cmsgpack.pack(forgottenMs, limit, epoch, counter, granted, debt, forgivenDebt, recovered, durationMs,
  grantedUntilMs)
if newHead ~= head then
  hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] = 'h', newHead
end
if isSliding then
  hashWrites[#hashWrites + 1], hashWrites[#hashWrites + 2] = 's', cmsgpack.pack(segments)
end
redis.call('HSET', record, unpack(hashWrites))
local owed = math.max(0, spent - limit - granted)
for i = 3 + earlierWindows, #KEYS do
  local after, afterTotals = unpack(redis.call('HMGET', KEYS[i], 'h', 't'))
  if after and cmsgpack.unpack(after) > now then
    local fields = {cmsgpack.unpack(after)}
    local carried = math.max(0, owed - fields[7])
    if carried ~= fields[6] then
      fields[6] = carried
      after = cmsgpack.pack(unpack(fields))
      redis.call('HSET', KEYS[i], 'h', after)
    end
    owed = owedBy(after, afterTotals)
  else
    owed = math.max(0, owed - limit)
  end
end
if #setWrites > 0 then redis.call('ZADD', ends, unpack(setWrites)) end
if wasFirst and not firstId then
  hashRemovals[#hashRemovals + 1], hashRemovals[#hashRemovals + 2] = 'c', 'w'
end
if #hashRemovals > 0 then redis.call('HDEL', record, unpack(hashRemovals)) end
if #setRemovals > 0 then redis.call('ZREM', ends, unpack(setRemovals)) end
if forgottenMs < math.huge and (not head or kind ~= 'fixed' or #setWrites > 0) then
  redis.call('PEXPIREAT', record, forgottenMs)
  redis.call('PEXPIREAT', ends, forgottenMs)
end
return {state, units, limit + granted, answeredSpent or spent, answeredBefore or spent, taken, open, retryMs, now,
  clock, isWanted and 1 or 0, ageMs}
`;

const states = ['open', 'ended', 'unknown', 'refused'] as const;

type Reply = [number, number, number, number, number, number, number, number, number, number, number, number];

/**
 * Returns the arguments of the script after its keys: the record, its sorted set, and the records
 * of the windows before and after.
 */
export function exchangeArguments(request: AllowanceRequest): (string | number)[] {
  const { window } = request;
  return [
    window.type,
    request.allowance,
    request.operation,
    request.operationId,
    request.operationUnits,
    request.number,
    request.spent,
    request.want,
    request.least,
    request.ttlMs,
    request.seenMs,
    window.limit,
    window.limitEpoch,
    window.limitCounter,
    window.startMs,
    Number.isFinite(window.endMs) ? window.endMs : -1,
    window.slidingMs,
    window.previousKey === '' ? 0 : 1 + (request.earlierKeys?.length ?? 0),
  ];
}

/** Returns undefined for a reply that the script does not give. */
export function readAnswer({ allowance, number }: AllowanceRequest, reply: unknown): AllowanceAnswer | undefined {
  if (!Array.isArray(reply) || reply.length !== 12) {
    return undefined;
  }
  const [code, units, limit, spent, spentBefore, taken, replicas, retryMs, nowMs, clockMs, wanted, ageMs] = reply.map(
    Number,
  ) as Reply;
  const state = states[code];
  return state === undefined || !Number.isInteger(clockMs)
    ? undefined
    : {
        allowance,
        number,
        state,
        units,
        limit,
        spent,
        spentBefore,
        taken,
        replicas,
        isWanted: wanted === 1,
        retryMs,
        ageMs,
        nowMs,
        clockMs,
      };
}
