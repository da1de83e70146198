-- Put in front of the other scripts of the cache.
--
-- The version of what is stored under `key`, be it a string of JSON or a hash, a value or a tombstone; nil when there
-- is nothing, or nothing that has a version.
local function version_of(key)
  local kind = redis.call('TYPE', key).ok
  local version
  if kind == 'hash' then
    version = redis.call('HGET', key, 'version')
  elseif kind == 'string' then
    local read, value = pcall(cjson.decode, redis.call('GET', key))
    if read and type(value) == 'table' then version = value.version end
  end
  if type(version) ~= 'string' and type(version) ~= 'number' then return nil end
  return tonumber(version)
end

-- Puts `value` under `key`: a string if it is one piece, a hash if it is field, value, field, value, …
local function put(key, ttl, value)
  if #value == 1 then
    redis.call('SET', key, value[1], 'PX', ttl)
  else
    redis.call('HSET', key, unpack(value))
    redis.call('PEXPIRE', key, ttl)
  end
end

-- Replaces what is under the first of the keys by `value`, and what is under the second by its `stamp`, of which there is
-- none if it is empty. A stamp goes first and comes last, so that it is never put beside another value than its own.
local function replace(keys, ttl, stamp, value)
  redis.call('DEL', keys[2], keys[1])
  put(keys[1], ttl, value)
  if stamp ~= '' then put(keys[2], ttl, { stamp }) end
end
