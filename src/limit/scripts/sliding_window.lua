-- Sliding-window log: decides the requests of a batch one after another, each under several limits at once, on the server's
-- clock, exactly.
--
-- A request is allowed if under every key of it fewer than `limit` requests were allowed in the last `window`. Then it is
-- recorded under all of them; a denied request is recorded under none.
--
-- KEYS      a list each: the times (microseconds since 1970) of the allowed requests, oldest first. Never longer than
--           its limit; expires when its newest entry leaves the window. Those of the first request, then those of the next.
-- ARGV[1]   1 to decide and record, 0 only to look
-- ARGV      then for each request the number of its keys, and for each of these
--             its limit, in requests
--             its window, in microseconds
--             requests under it that an instance has allowed by itself and that are not recorded yet
--             how long ago the last of those was, in microseconds
--
-- Returns three integers for each key, one after another:
--   requests left, this one subtracted if it was recorded
--   microseconds until this key allows a request; 0 if it allows this one
--   microseconds until the oldest entry leaves the window, which gives one request back; 0 if there is none
-- and -1 three times for each key of a request that could not be decided: one of its keys is not such a list, or Redis has
-- no memory left.

local call, try, number = redis.call, redis.pcall, tonumber
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- The entries of `key`, which has `count`, that are no later than `horizon`: looked for in doubling steps, then by halves,
-- so that a long log is cleared in a few looks.
local function gone(key, count, horizon)
  local known, beyond = 1, 2
  while beyond <= count and number(call('LINDEX', key, beyond - 1)) <= horizon do
    known, beyond = beyond, beyond * 2
  end
  beyond = math.min(beyond, count + 1)
  while beyond - known > 1 do
    local middle = math.floor((known + beyond) / 2)
    if number(call('LINDEX', key, middle - 1)) <= horizon then known = middle else beyond = middle end
  end
  return known
end

-- Rounded up: a list that goes before its newest entry is due would let a request too many pass.
local function expire(key, newest, window)
  call('PEXPIREAT', key, math.ceil((newest + window) / 1000))
end

-- Records `owed` requests of `age` under `key`; gives the number of entries afterwards and the oldest. They count from
-- when the last of them was, and never from before what is recorded already: the order of the list.
local function settle(key, count, oldest, limit, window, owed, age)
  local at = now - age
  local times = math.min(owed, limit - count)
  if times <= 0 or age >= window then return count, oldest end
  if count > 0 then at = math.max(at, number(call('LINDEX', key, -1))) end
  for _ = 1, times do call('RPUSH', key, at) end
  expire(key, at, window)
  return count + times, oldest or at
end

-- The entries of `key` in the window and the oldest of them, with what is owed; nil if `key` is no list.
local function log(key, limit, window, owed, age)
  local count, oldest = try('LLEN', key), nil
  if type(count) == 'table' then return nil end
  if count > 0 then
    oldest = number(call('LINDEX', key, 0))
    if oldest <= now - window then
      local past = gone(key, count, now - window)
      call('LTRIM', key, past, -1)
      count = count - past
      oldest = count > 0 and number(call('LINDEX', key, 0)) or nil
    end
  end
  if owed > 0 then return settle(key, count, oldest, limit, window, owed, age) end
  return count, oldest
end

local records = ARGV[1] == '1'
local answer, counts, oldests, limits, windows = {}, {}, {}, {}, {}
local first, argument = 1, 2
while first <= #KEYS do
  local last = first + number(ARGV[argument]) - 1
  argument = argument + 1
  local allowed, decided = true, true
  for i = first, last do
    local limit, window = number(ARGV[argument]), number(ARGV[argument + 1])
    local count, oldest = log(KEYS[i], limit, window, number(ARGV[argument + 2]), number(ARGV[argument + 3]))
    argument = argument + 4
    counts[i], oldests[i], limits[i], windows[i] = count, oldest, limit, window
    if not count then decided = false elseif count >= limit then allowed = false end
  end
  local recorded = records and allowed and decided
  for i = first, last do
    local key, count, limit, window, wait = KEYS[i], counts[i], limits[i], windows[i], 0
    if recorded then
      -- Without memory Redis refuses the first write of a script, and none after one that it has done.
      if type(try('RPUSH', key, now)) == 'table' then
        recorded, decided = false, false
      else
        expire(key, now, window)
        count = count + 1
      end
    elseif decided and count >= limit then
      -- When the limit was lowered there are more entries than it: all but limit - 1 have to leave.
      wait = number(call('LINDEX', key, count - limit)) + window - now
    end
    if decided then
      local oldest = oldests[i] or (recorded and now)
      answer[3 * i - 2], answer[3 * i - 1] = math.max(limit - count, 0), wait
      answer[3 * i] = oldest and oldest + window - now or 0
    else
      answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = -1, -1, -1
    end
  end
  first = last + 1
end
return answer
