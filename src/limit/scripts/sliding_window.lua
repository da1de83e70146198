-- Sliding-window log: decides the requests of a batch one after another, each under several limits at once, on the server's
-- clock, exactly.
--
-- A request is allowed if under every key of it fewer than `limit` requests were allowed in the last `window`. Then it is
-- recorded under all of them; a denied request is recorded under none.
--
-- KEYS      those of the first request, no key twice, then those of the next. Each is a log: the times (microseconds since
--           1970) of the allowed requests, oldest first. Expires after its newest entry has left the window.
-- ARGV[1]   1 to decide and record, 0 only to look
-- ARGV[2]   for each key, in big-endian order:
--             its limit, in requests and at least 1 (4 bytes)
--             its window, in microseconds (8)
--             requests under it that an instance has allowed by itself and that are not recorded yet (4)
--             how long ago the last of those was, in microseconds (8)
--             how many keys of its request come after it (1)
--             how long its log is kept from when it is written anew, in seconds: longer than the window by more than one.
--             As text, which is what Redis reads (1 byte for its length, and so many)
--
-- Returns such numbers for each key, one after another:
--   requests left, this one subtracted if it was recorded (4 bytes)
--   microseconds until this key allows a request; 0 if it allows this one (8)
--   microseconds until the entry leaves the window that gives one request back; 0 if there is none (8)
-- or fails as a whole, having recorded nothing, where Redis has no memory left.
--
-- A call into Redis costs more than all that is done with its answer. So the logs of short limits are strings: the second
-- until which the log is kept at least (4 bytes, big-endian), then the times (8 each). All are read by one MGET. What is
-- recorded is appended, which costs a third of writing it anew with an expiry. It is written anew when it has to be kept for
-- longer, when it was a list or is told of requests that were allowed elsewhere, and when more of it has left the window than
-- not, so that what is recorded never makes it longer than twice its limit. Those of long limits are lists, of which only the
-- ends are touched. A limit that was changed may find the other kind; what is no log at all is replaced.

-- The longest limit whose log is a string.
local SHORT = 128

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- What is done with logs that are not plainly strings. Made when it is first needed: a function costs most calls more than
-- what they do with it.
local function seldom()
  -- The last of the times in `text`; 0 if it is empty; nil if it holds none, or a last one that no clock explains that was
  -- set back.
  local function newest(text, window)
    if #text % 8 ~= 4 then return nil end
    local time = #text == 4 and 0 or struct.unpack('>I8', text, #text - 7)
    return time <= now + window and time or nil
  end

  -- The time of the entry that has `index` before it, of those in the window that are not of this call. What is no time
  -- counts as of now.
  local function entry(log, key, index)
    if log.text then return (struct.unpack('>I8', log.text, log.from + 8 * index)) end
    return tonumber(redis.call('LINDEX', key, index)) or log.time or now
  end

  -- Gives the text of the log of a short limit that is none yet, or none with a last time in the past; `text` is the string
  -- that was found, if any. From a list the last times are taken, which are all that matters.
  local function open_string(log, key, text)
    if not text then
      local times = redis.pcall('LRANGE', key, -SHORT, -1)
      for i, time in ipairs(times) do times[i] = struct.pack('>I8', tonumber(time) or 0) end
      text = '\0\0\0\0' .. table.concat(times)
    end
    local last = newest(text, log.window)
    if not last then return '\0\0\0\0' end
    if last > now then log.time = last end
    return text
  end

  -- Opens the log of a long limit. What is past is looked for in doubling steps, then by halves, so that a long log is
  -- cleared in a few looks.
  local function open_list(log, key)
    local horizon = now - log.window
    local count = redis.pcall('LLEN', key)
    if type(count) == 'table' then
      local text = redis.pcall('GET', key)
      redis.call('DEL', key)
      count = 0
      if type(text) == 'string' and newest(text, log.window) then
        for at = 5, #text, 8 do
          count = redis.call('RPUSH', key, (struct.unpack('>I8', text, at)))
        end
        if count > 0 then redis.call('EXPIRE', key, log.kept) end
      end
    end
    if count == 0 then return end
    local last = tonumber(redis.call('LINDEX', key, -1))
    if not last or last > now + log.window then
      redis.call('DEL', key)
      return
    end
    if last > now then log.time = last end
    log.oldest = entry(log, key, 0)
    if log.oldest <= horizon then
      local past, beyond = 1, 2
      while beyond <= count and entry(log, key, beyond - 1) <= horizon do
        past, beyond = beyond, beyond * 2
      end
      beyond = math.min(beyond, count + 1)
      while beyond - past > 1 do
        local middle = math.floor((past + beyond) / 2)
        if entry(log, key, middle - 1) <= horizon then past = middle else beyond = middle end
      end
      redis.call('LTRIM', key, past, -1)
      count = count - past
      log.oldest = count > 0 and entry(log, key, 0)
    end
    log.count = count
  end

  -- Records `times` requests that were allowed elsewhere, the last of them at `at`, before all others of this call. They
  -- count from then, and never from before what is recorded already: the order of the log.
  local function settle(log, key, times, at)
    if log.count > 0 then at = math.max(at, entry(log, key, log.count - 1)) else log.oldest = at end
    if log.text then
      log.text, log.settled = log.text .. string.rep(struct.pack('>I8', at), times), true
    else
      for _ = 1, times do redis.call('RPUSH', key, at) end
      redis.call('EXPIRE', key, log.kept)
    end
    log.count, log.left = log.count + times, log.left - times
  end

  -- Adds to the log of a long limit what this call has allowed.
  local function push(log, key)
    -- Lua passes no more than some thousand arguments.
    local some, most = {}, math.min(log.added, 100)
    for i = 1, most do some[i] = log.time or now end
    for left = log.added, 1, -most do redis.call('RPUSH', key, unpack(some, 1, math.min(left, most))) end
    redis.call('EXPIRE', key, log.kept)
  end

  return { entry = entry, open_string = open_string, open_list = open_list, settle = settle, push = push }
end

local records, asked, at = ARGV[1] == '1', ARGV[2], 1
-- What MGET has found, and then the log in its place.
local found = redis.call('MGET', unpack(KEYS))
local logs, answer, tools = {}, {}, nil
local first = 1
while first <= #KEYS do
  local last, allowed, more = first, true, nil
  repeat
    local limit, window, owed, age, kept
    limit, window, owed, age, more, kept, at = struct.unpack('>I4I8I4I8I1I1c0', asked, at)
    local key = KEYS[last]
    local log = logs[key]
    if not log then
      -- `left` more may be allowed; `count` entries are in the window. The last `added` of those are of this call, and the
      -- others, if any since `oldest`, in `text` after `from` or in the list. What this call adds has the time `time`: now,
      -- and after the clock was set back that of the last entry, for the order. `settled` if the text is more than what
      -- Redis has.
      local text = found[last]
      log = { left = limit, window = window, kept = kept, text = false, from = 5, count = 0, added = 0, oldest = false }
      if limit <= SHORT then
        local size = text and #text or 0
        if size < 12 or size % 8 ~= 4 or struct.unpack('>I8', text, size - 7) > now then
          tools = tools or seldom()
          text = tools.open_string(log, key, text)
          size = #text
        end
        local from, horizon, oldest = 5, now - window, false
        while from < size do
          oldest = struct.unpack('>I8', text, from)
          if oldest > horizon then break end
          from, oldest = from + 8, false
        end
        log.text, log.from, log.count, log.oldest = text, from, (size - from + 1) / 8, oldest
      else
        tools = tools or seldom()
        tools.open_list(log, key)
      end
      log.left = limit - log.count
      logs[key] = log
    end
    if owed > 0 and age < window and log.left > 0 then
      owed = math.min(owed, log.left)
      if log.added > 0 then
        log.added, log.count, log.left = log.added + owed, log.count + owed, log.left - owed
      else
        tools = tools or seldom()
        tools.settle(log, key, owed, now - age)
      end
    end
    if log.left <= 0 then allowed = false end
    found[last] = log
    last = last + 1
  until more == 0
  for i = first, last - 1 do
    local log = found[i]
    if allowed and records then log.added, log.count, log.left = log.added + 1, log.count + 1, log.left - 1 end
    local left, wait, reset = log.left, 0, 0
    if log.count > 0 then
      local time = log.oldest or log.time or now
      -- When the limit was lowered there are more entries than it: all but limit - 1 have to leave.
      if left < 0 then
        tools = tools or seldom()
        left, time = 0, tools.entry(log, KEYS[i], -left)
      end
      reset = time + log.window - now
      -- Whatever is in a log that somebody else has written.
      if reset < 1 then reset = 1 end
    end
    if left == 0 and not allowed then wait = reset end
    answer[i] = struct.pack('>I4I8I8', left, wait, reset)
  end
  first = last
end

local present = struct.pack('>I8', now)
-- Without memory Redis refuses the first of these, and none after one that it has done.
for i = 1, #KEYS do
  local log = found[i]
  local added, text = log.added, log.text
  if added > 0 or log.settled then
    if text then
      local key, time, from = KEYS[i], log.time or now, log.from
      local this = time == now and present or struct.pack('>I8', time)
      if added ~= 1 then this = string.rep(this, added) end
      local kept, past, rest = struct.unpack('>I4', text) * 1000000, from - 5, 8 * (log.count - added)
      if kept >= time + log.window and past <= rest and not log.settled then
        redis.call('APPEND', key, this)
      else
        -- A second earlier than it goes: Redis counts from when the call began, and in whole milliseconds.
        kept = struct.pack('>I4', now / 1000000 + log.kept - 1)
        redis.call('SET', key, kept .. string.sub(text, from) .. this, 'EX', log.kept)
      end
    else
      tools.push(log, KEYS[i])
    end
    log.added, log.settled = 0, nil
  end
end
return table.concat(answer)
