-- Sliding-window log: decides the requests of a batch one after another, each under several limits at once, on the server's
-- clock, exactly.
--
-- A request is allowed if under every key of it fewer than `limit` requests were allowed in the last `window`. Then it is
-- recorded under all of them; a denied request is recorded under none.
--
-- KEYS      those of the first request, no key twice, then those of the next. Each is a log: the times (microseconds since
--           1970) of the allowed requests, oldest first. Never longer than its limit; expires a second after its newest entry
--           has left the window.
-- ARGV[1]   1 to decide and record, 0 only to look
-- ARGV[2]   for each key, in big-endian order:
--             its limit, in requests and at least 1 (4 bytes)
--             its window, in microseconds (8)
--             requests under it that an instance has allowed by itself and that are not recorded yet (4)
--             how long ago the last of those was, in microseconds (8)
--             how many keys of its request come after it (1)
--             how long its log is kept once it is written, in milliseconds: more than the window. As text, which is what
--             Redis reads (1 byte for its length, and so many)
--
-- Returns such numbers for each key, one after another:
--   requests left, this one subtracted if it was recorded (4 bytes)
--   microseconds until this key allows a request; 0 if it allows this one (8)
--   microseconds until the entry leaves the window that gives one request back; 0 if there is none (8)
-- or fails as a whole, having recorded nothing, where Redis has no memory left.
--
-- A call into Redis costs more than all that is done with its answer. So the logs of short limits are strings, of eight bytes
-- for each time: all are read by one MGET, and each that changes is written by one SET. Those of long limits are lists, of which
-- only the ends are touched. A limit that was changed may find the other kind; what is no log at all is replaced.
--
-- The functions are given numbers that they could see: each local of the script that a function uses is made on the heap, at
-- every call.

-- The time of the entry that has `index` before it, of those in the window. What is no time counts as of now.
local function entry(log, index)
  if index >= log.stored then return log.time end
  if log.text then return (struct.unpack('>I8', log.text, log.from + 8 * index)) end
  return tonumber(redis.call('LINDEX', log.key, index)) or log.time
end

-- The last of the times in `text`; 0 if it is empty; nil if it holds none, or a last one that no clock explains that was set
-- back.
local function newest(text, latest)
  if #text % 8 ~= 0 then return nil end
  local time = #text == 0 and 0 or struct.unpack('>I8', text, #text - 7)
  return time <= latest and time or nil
end

-- Opens the log of a short limit; `text` is the string that was found, if any. From a list the last times are taken, which
-- are all that matters.
local function open_string(log, text, short, now)
  if not text then
    local times = redis.pcall('LRANGE', log.key, -short, -1)
    for i, time in ipairs(times) do times[i] = struct.pack('>I8', tonumber(time) or 0) end
    text = table.concat(times)
  end
  local from, horizon, last = 1, now - log.window, newest(text, now + log.window)
  if not last then text, last = '', 0 end
  if last > now then log.time = last end
  while from < #text and struct.unpack('>I8', text, from) <= horizon do from = from + 8 end
  log.text, log.from, log.stored = text, from, (#text - from + 1) / 8
end

-- Opens the log of a long limit. What is past is looked for in doubling steps, then by halves, so that a long log is
-- cleared in a few looks.
local function open_list(log, now)
  local key, horizon, latest = log.key, now - log.window, now + log.window
  local count = redis.pcall('LLEN', key)
  if type(count) == 'table' then
    local text = redis.pcall('GET', key)
    redis.call('DEL', key)
    count = 0
    if type(text) == 'string' and newest(text, latest) then
      for at = 1, #text, 8 do
        count = redis.call('RPUSH', key, (struct.unpack('>I8', text, at)))
      end
      if count > 0 then redis.call('PEXPIRE', key, log.kept) end
    end
  end
  log.stored = count
  if count == 0 then return end
  local last = tonumber(redis.call('LINDEX', key, -1))
  if not last or last > latest then
    redis.call('DEL', key)
    log.stored = 0
    return
  end
  if last > now then log.time = last end
  if entry(log, 0) <= horizon then
    local past, beyond = 1, 2
    while beyond <= count and entry(log, beyond - 1) <= horizon do
      past, beyond = beyond, beyond * 2
    end
    beyond = math.min(beyond, count + 1)
    while beyond - past > 1 do
      local middle = math.floor((past + beyond) / 2)
      if entry(log, middle - 1) <= horizon then past = middle else beyond = middle end
    end
    redis.call('LTRIM', key, past, -1)
    log.stored = count - past
  end
end

-- Records `times` requests that were allowed elsewhere, the last of them at `at`, before all others of this call. They count
-- from then, and never from before what is recorded already: the order of the log.
local function settle(log, times, at)
  if log.count > 0 then at = math.max(at, entry(log, log.count - 1)) end
  if log.text then
    log.text = log.text .. string.rep(struct.pack('>I8', at), times)
  else
    for _ = 1, times do redis.call('RPUSH', log.key, at) end
    redis.call('PEXPIRE', log.key, log.kept)
  end
  log.stored, log.count = log.stored + times, log.count + times
end

-- The longest limit whose log is a string.
local SHORT = 128

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local records, asked, at = ARGV[1] == '1', ARGV[2], 1
local found = redis.call('MGET', unpack(KEYS))
local logs, changed, of, limits, answer = {}, {}, {}, {}, {}
local first = 1
while first <= #KEYS do
  local last, allowed, more = first, true, nil
  repeat
    local limit, window, owed, age, kept
    limit, window, owed, age, more, kept, at = struct.unpack('>I4I8I4I8I1I1c0', asked, at)
    local key = KEYS[last]
    local log = logs[key]
    if not log then
      -- `time` is that of what this call adds: now, and after the clock was set back that of the last entry, for the order.
      log = { key = key, window = window, kept = kept, time = now, text = false, from = 0, stored = 0, count = 0, added = 0 }
      if limit <= SHORT then open_string(log, found[last], SHORT, now) else open_list(log, now) end
      log.count = log.stored
      logs[key] = log
    end
    if owed > 0 and age < window and log.count < limit then
      owed = math.min(owed, limit - log.count)
      if log.added > 0 then
        log.added, log.count = log.added + owed, log.count + owed
      else
        settle(log, owed, now - age)
        changed[log] = true
      end
    end
    if log.count >= limit then allowed = false end
    of[last], limits[last] = log, limit
    last = last + 1
  until more == 0
  for i = first, last - 1 do
    local log, limit = of[i], limits[i]
    if allowed and records then
      log.added, log.count = log.added + 1, log.count + 1
      changed[log] = true
    end
    local left, wait, reset, over = limit - log.count, 0, 0, 0
    -- When the limit was lowered there are more entries than it: all but limit - 1 have to leave.
    if left < 0 then left, over = 0, -left end
    -- At least 1, whatever is in a log that somebody else has written.
    if log.count > 0 then reset = math.max(entry(log, over) + log.window - now, 1) end
    if left == 0 and not allowed then wait = reset end
    answer[i] = struct.pack('>I4I8I8', left, wait, reset)
  end
  first = last
end

-- Without memory Redis refuses the first of these, and none after one that it has done.
for log in pairs(changed) do
  local text, added = log.text, log.added
  if text then
    local this = struct.pack('>I8', log.time)
    if log.from > 1 then text = string.sub(text, log.from) end
    if added > 0 then text = text .. (added == 1 and this or string.rep(this, added)) end
    redis.call('SET', log.key, text, 'PX', log.kept)
  elseif added > 0 then
    -- Lua passes no more than some thousand arguments.
    local some, most = {}, math.min(added, 100)
    for i = 1, most do some[i] = log.time end
    for left = added, 1, -most do redis.call('RPUSH', log.key, unpack(some, 1, math.min(left, most))) end
    redis.call('PEXPIRE', log.key, log.kept)
  end
end
return table.concat(answer)
