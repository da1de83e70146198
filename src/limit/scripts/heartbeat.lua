-- Marks an instance as alive, or takes it off the list, and counts those that are: on the server's clock, in one step.
--
-- KEYS[1]  a sorted set: ids of instances, by the time (milliseconds since 1970) until which each counts. Expires when the
--          last of them does.
-- ARGV[1]  the id of this instance
-- ARGV[2]  how long it counts from now, in milliseconds; 0 when it leaves
--
-- Returns how many instances there are.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local life = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if life > 0 then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], life)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
