-- Sliding-window log: decides several limits at once, on the server's clock, exactly.
--
-- A request is allowed if under every key fewer than `limit` requests were allowed in the last `window`. Then it is
-- recorded under all keys; a denied request is recorded under none.
--
-- KEYS[i]        a list: the times (microseconds since 1970) of the allowed requests, oldest first. Never longer than
--                its limit; expires when its newest entry leaves the window.
-- ARGV[1]        1 to decide and record, 0 only to look
-- ARGV[4i - 2]   the limit of KEYS[i], in requests
-- ARGV[4i - 1]   the window of KEYS[i], in microseconds
-- ARGV[4i]       requests under KEYS[i] that an instance has allowed by itself and that are not recorded yet
-- ARGV[4i + 1]   how long ago the last of those was, in microseconds
--
-- Returns three integers for each key, one after another:
--   requests left, this one subtracted if it was recorded
--   microseconds until this key allows a request; 0 if it allows this one
--   microseconds until the oldest entry leaves the window, which gives one request back; 0 if there is none

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

-- The entries of `key`, which has `count`, that are no later than `horizon`: looked for in doubling steps, then by halves,
-- so that a long log is cleared in a few looks.
local function gone(key, count, horizon)
  local known, beyond = 1, 2
  while beyond <= count and tonumber(redis.call('LINDEX', key, beyond - 1)) <= horizon do
    known, beyond = beyond, beyond * 2
  end
  beyond = math.min(beyond, count + 1)
  while beyond - known > 1 do
    local middle = math.floor((known + beyond) / 2)
    if tonumber(redis.call('LINDEX', key, middle - 1)) <= horizon then known = middle else beyond = middle end
  end
  return known
end

-- Records `owed` requests of `age` under `key`; gives the number of entries afterwards and the oldest. They count from
-- when the last of them was, and never from before what is recorded already: the order of the list.
local function settle(key, count, oldest, limit, window, owed, age)
  local at = now - age
  local times = math.min(owed, limit - count)
  if times <= 0 or age >= window then return count, oldest end
  if count > 0 then at = math.max(at, tonumber(redis.call('LINDEX', key, -1))) end
  local entry = string.format('%.0f', at)
  for _ = 1, times do redis.call('RPUSH', key, entry) end
  redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil((at + window) / 1000)))
  return count + times, oldest or at
end

local counts, waits, oldests = {}, {}, {}
local allowed = true
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
  local owed = tonumber(ARGV[4 * i])
  local count, oldest = redis.call('LLEN', key), nil
  if count > 0 then
    oldest = tonumber(redis.call('LINDEX', key, 0))
    if oldest <= now - window then
      local past = gone(key, count, now - window)
      redis.call('LTRIM', key, past, -1)
      count = count - past
      oldest = count > 0 and tonumber(redis.call('LINDEX', key, 0)) or nil
    end
  end
  if owed > 0 then
    count, oldest = settle(key, count, oldest, limit, window, owed, tonumber(ARGV[4 * i + 1]))
  end
  counts[i], waits[i], oldests[i] = count, 0, oldest
  if count >= limit then
    allowed = false
    -- When the limit was lowered there are more entries than it: all but limit - 1 have to leave.
    waits[i] = tonumber(redis.call('LINDEX', key, count - limit)) + window - now
  end
end

local answer = {}
local records = allowed and ARGV[1] == '1'
local time = string.format('%.0f', now)
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
  if records then
    redis.call('RPUSH', key, time)
    -- Rounded up: a list that goes before its newest entry is due would let a request too many pass.
    redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil((now + window) / 1000)))
    counts[i], oldests[i] = counts[i] + 1, oldests[i] or now
  end
  answer[#answer + 1] = math.max(limit - counts[i], 0)
  answer[#answer + 1] = waits[i]
  answer[#answer + 1] = oldests[i] and oldests[i] + window - now or 0
end
return answer
