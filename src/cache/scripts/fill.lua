-- Stores what a reader has read from the database, unless something newer is stored: a value, or the tombstone that a
-- writer has left. What has no version is replaced.
--
-- KEYS[1]   the key
-- KEYS[2]   the key of its stamp
-- ARGV[1]   the version of the value
-- ARGV[2]   its life, in milliseconds
-- ARGV[3]   its stamp, or nothing
-- ARGV[4…]  the value: one string, or the fields and values of a hash in turn
--
-- Returns 1 if it was stored, 0 if it was refused.
local stored = version_of(KEYS[1])
if stored and stored > tonumber(ARGV[1]) then return 0 end
replace(KEYS, ARGV[2], ARGV[3], { unpack(ARGV, 4) })
return 1
