-- Sliding-window log: decides several limits at once, on the server's clock, exactly.
--
-- A request is allowed if under every key fewer than `limit` requests were allowed in the last `window`. Then it is
-- recorded under all keys; a denied request is recorded under none.
--
-- KEYS[i]        a list: the times (microseconds since 1970) of the allowed requests, oldest first. Never longer than
--                its limit; expires when its newest entry leaves the window.
-- ARGV[2i - 1]   the limit of KEYS[i], in requests
-- ARGV[2i]       the window of KEYS[i], in microseconds
--
-- Returns three integers for each key, one after another:
--   requests left, this one subtracted if it was recorded
--   microseconds until this key allows a request; 0 if it allows this one
--   microseconds until the oldest entry leaves the window, which gives one request back; 0 if there is none

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local counts, waits = {}, {}
local allowed = true
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) <= now - window do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  counts[i], waits[i] = redis.call('LLEN', key), 0
  if counts[i] >= limit then
    allowed = false
    -- When the limit was lowered there are more entries than it: all but limit - 1 have to leave.
    local last_to_leave = redis.call('LINDEX', key, counts[i] - limit)
    waits[i] = last_to_leave and tonumber(last_to_leave) + window - now or window
  end
end

local answer = {}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if allowed then
    redis.call('RPUSH', key, string.format('%.0f', now))
    -- Rounded up: a list that goes before its newest entry is due would let a request too many pass.
    redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil((now + window) / 1000)))
    counts[i] = counts[i] + 1
  end
  local oldest = redis.call('LINDEX', key, 0)
  answer[#answer + 1] = math.max(limit - counts[i], 0)
  answer[#answer + 1] = waits[i]
  answer[#answer + 1] = oldest and tonumber(oldest) + window - now or 0
end
return answer
