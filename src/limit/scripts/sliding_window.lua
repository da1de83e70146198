-- Sliding-window log: decides the requests of a batch one after another, each under several limits at once, on the server's
-- clock, exactly.
--
-- A request is allowed if under every key of it fewer than `limit` requests were allowed in the last `window`. Then it is
-- recorded under all of them; a denied request is recorded under none. What has been allowed elsewhere is recorded in any case.
--
-- KEYS      the logs, no key twice. Each holds the times (microseconds since 1970) of the allowed requests, oldest first, and
--           expires after the newest has left the window.
-- ARGV[1]   the policies: for each, in big-endian order,
--             its limit, in requests and at least 1 (4 bytes)
--             its window, in microseconds (8)
--             how long a log is kept from when it is written anew, in seconds: longer than the window by more than one.
--             As text, which is what Redis reads (1 byte for its length, and so many)
-- ARGV[2]   what is asked:
--             1 to decide and record, 0 only to look (1 byte)
--             for each key which policy it is under, from 0 (1); 128 is added where it is all that one request asks about, no
--             other does, and nothing is told of it in ARGV[3]: that may be decided at once, on a shorter way
--             for each key of the first request which it is, from 0 (2, big-endian); 32,768 is added where another of the same
--             request follows. Then those of the next
-- ARGV[3]   only if there are any: requests that an instance has allowed by itself and that are not recorded yet. For each
--           key that has some, in big-endian order,
--             which it is, from 0 (2 bytes)
--             how many they are (4)
--             how long ago the last of them was, in microseconds (8)
--
-- Returns such numbers for each key of each request, one after another:
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
  local function entry(log, index)
    if log.text then return (struct.unpack('>I8', log.text, log.from + 8 * index)) end
    return tonumber(redis.call('LINDEX', log.key, index)) or log.time
  end

  -- Gives the text of the log of a short limit that is none yet, or none with a last time in the past, and the time that the
  -- next entry has. `text` is the string that was found, if any. From a list the last times are taken, which are all that
  -- matters.
  local function open_string(policy, key, text)
    if not text then
      local times = redis.pcall('LRANGE', key, -SHORT, -1)
      for i, time in ipairs(times) do times[i] = struct.pack('>I8', tonumber(time) or 0) end
      text = '\0\0\0\0' .. table.concat(times)
    end
    local last = newest(text, policy.window)
    if not last then return '\0\0\0\0', now end
    return text, math.max(last, now)
  end

  -- Opens the log of a long limit. What is past is looked for in doubling steps, then by halves, so that a long log is
  -- cleared in a few looks.
  local function open_list(policy, key)
    local log = { policy = policy, key = key, left = policy.limit, count = 0, added = 0, time = now }
    local count = redis.pcall('LLEN', key)
    if type(count) == 'table' then
      local text = redis.pcall('GET', key)
      redis.call('DEL', key)
      count = 0
      if type(text) == 'string' and newest(text, policy.window) then
        for at = 5, #text, 8 do
          count = redis.call('RPUSH', key, (struct.unpack('>I8', text, at)))
        end
        if count > 0 then redis.call('EXPIRE', key, policy.kept) end
      end
    end
    if count == 0 then return log end
    local last = tonumber(redis.call('LINDEX', key, -1))
    if not last or last > now + policy.window then
      redis.call('DEL', key)
      return log
    end
    log.time = math.max(last, now)
    log.oldest = entry(log, 0)
    if log.oldest <= policy.horizon then
      local past, beyond = 1, 2
      while beyond <= count and entry(log, beyond - 1) <= policy.horizon do
        past, beyond = beyond, beyond * 2
      end
      beyond = math.min(beyond, count + 1)
      while beyond - past > 1 do
        local middle = math.floor((past + beyond) / 2)
        if entry(log, middle - 1) <= policy.horizon then past = middle else beyond = middle end
      end
      redis.call('LTRIM', key, past, -1)
      count = count - past
      log.oldest = count > 0 and entry(log, 0)
    end
    log.count, log.left = count, policy.limit - count
    return log
  end

  -- Records up to `times` requests that were allowed elsewhere, the last of them `age` ago, before all of this call. They
  -- count from then, and never from before what is recorded already: the order of the log.
  local function settle(log, times, age)
    times = math.min(times, log.left)
    if times <= 0 or age >= log.policy.window then return end
    local at = now - age
    if log.count > 0 then at = math.max(at, entry(log, log.count - 1)) else log.oldest = at end
    if log.text then
      log.text, log.settled = log.text .. string.rep(struct.pack('>I8', at), times), true
    else
      for _ = 1, times do redis.call('RPUSH', log.key, at) end
      redis.call('EXPIRE', log.key, log.policy.kept)
    end
    log.count, log.left = log.count + times, log.left - times
  end

  -- Adds to the log of a long limit what this call has allowed.
  local function push(log)
    -- Lua passes no more than some thousand arguments.
    local some, most = {}, math.min(log.added, 100)
    for i = 1, most do some[i] = log.time end
    for left = log.added, 1, -most do redis.call('RPUSH', log.key, unpack(some, 1, math.min(left, most))) end
    redis.call('EXPIRE', log.key, log.policy.kept)
  end

  return { entry = entry, open_string = open_string, open_list = open_list, settle = settle, push = push }
end

local policies, told, at = {}, ARGV[1], 1
repeat
  local limit, window, kept
  limit, window, kept, at = struct.unpack('>I4I8I1c0', told, at)
  policies[#policies + 1] = { limit = limit, window = window, kept = kept, horizon = now - window }
until at > #told

local asked, tools = { string.byte(ARGV[2], 1, -1) }, nil
local records = asked[1] == 1
local present = struct.pack('>I8', now)

-- Adds `added` entries of the time `time` to the log of a short limit, which has `rest` others in `text` from `from` on.
-- Without memory Redis refuses the first of these writes, and none after one that it has done.
local function append(key, policy, text, from, rest, added, time, settled)
  local this = time == now and present or struct.pack('>I8', time)
  if added ~= 1 then this = string.rep(this, added) end
  local kept = struct.unpack('>I4', text) * 1000000
  if kept >= time + policy.window and from - 5 <= 8 * rest and not settled then
    redis.call('APPEND', key, this)
  else
    -- A second earlier than it goes: Redis counts from when the call began, and in whole milliseconds.
    kept = struct.pack('>I4', now / 1000000 + policy.kept - 1)
    redis.call('SET', key, kept .. string.sub(text, from) .. this, 'EX', policy.kept)
  end
end

-- What MGET has found, and then the log in its place, or the answer where that is decided at once. `left` more may be allowed
-- under it. `count` entries are in the window: those in the list or in `text` from `from` on, the first of which is `oldest`,
-- and then the last `added`, which are of this call. They have the time `time`: now, and after the clock was set back that of
-- the entry before, for the order. `settled` if the text is more than what Redis has.
local logs = redis.call('MGET', unpack(KEYS))
local number, undecided = #KEYS, 0
for i = 1, number do
  local policy = policies[asked[i + 1] % 128 + 1]
  if policy.limit <= SHORT then
    local text, time = logs[i], now
    local size = text and #text or 0
    if size < 12 or size % 8 ~= 4 or struct.unpack('>I8', text, size - 7) > now then
      tools = tools or seldom()
      text, time = tools.open_string(policy, KEYS[i], text)
      size = #text
    end
    local from, horizon, oldest = 5, policy.horizon, false
    while from < size do
      oldest = struct.unpack('>I8', text, from)
      if oldest > horizon then break end
      from, oldest = from + 8, false
    end
    local count = (size - from + 1) / 8
    local left = policy.limit - count
    if asked[i + 1] >= 128 and left >= 0 and records then
      -- The shorter way, which spares a table: that, and coming back to it twice, is a quarter of what a decision takes.
      -- It decides and answers as is done below.
      local wait, reset = 0, (oldest or time) - horizon
      -- Whatever is in a log that somebody else has written.
      if reset < 1 then reset = 1 end
      if left > 0 then
        left = left - 1
        append(KEYS[i], policy, text, from, count, 1, time)
      else
        wait = reset
      end
      logs[i] = struct.pack('>I4I8I8', left, wait, reset)
    else
      undecided = undecided + 1
      logs[i] = {
        policy = policy, text = text, from = from,
        left = left, count = count, added = 0, oldest = oldest, time = time
      }
    end
  else
    undecided = undecided + 1
    tools = tools or seldom()
    logs[i] = tools.open_list(policy, KEYS[i])
  end
end

if undecided == 0 then return table.concat(logs) end

if ARGV[3] then
  tools = tools or seldom()
  told, at = ARGV[3], 1
  while at <= #told do
    local which, times, age
    which, times, age, at = struct.unpack('>I2I4I8', told, at)
    tools.settle(logs[which + 1], times, age)
  end
end

local answer, answers, last = {}, 0, #asked
at = number + 2
while at < last do
  local log = logs[asked[at] % 128 * 256 + asked[at + 1] + 1]
  answers = answers + 1
  if type(log) == 'string' then
    answer[answers], at = log, at + 2
  else
    local first, allowed, more = at, true, nil
    repeat
      log = logs[asked[at] % 128 * 256 + asked[at + 1] + 1]
      if log.left <= 0 then allowed = false end
      more = asked[at] >= 128
      at = at + 2
    until not more
    for i = first, at - 2, 2 do
      log = logs[asked[i] % 128 * 256 + asked[i + 1] + 1]
      if allowed and records then log.added, log.count, log.left = log.added + 1, log.count + 1, log.left - 1 end
      local left, wait, reset = log.left, 0, 0
      if log.count > 0 then
        local time = log.oldest or log.time
        -- When the limit was lowered there are more entries than it: all but limit - 1 have to leave.
        if left < 0 then
          tools = tools or seldom()
          left, time = 0, tools.entry(log, -left)
        end
        reset = time - log.policy.horizon
        if reset < 1 then reset = 1 end
      end
      if left == 0 and not allowed then wait = reset end
      answer[answers + (i - first) / 2] = struct.pack('>I4I8I8', left, wait, reset)
    end
    answers = answers + (at - 2 - first) / 2
  end
end

for i = 1, number do
  local log = logs[i]
  if type(log) == 'table' then
    local added = log.added
    if log.text and (added > 0 or log.settled) then
      append(KEYS[i], log.policy, log.text, log.from, log.count - added, added, log.time, log.settled)
    elseif added > 0 then
      tools.push(log)
    end
  end
end
return table.concat(answer)
