-- Puts a tombstone in the place of a value, so that nothing older can be stored for as long as it stands, and tells
-- the other instances. What is newer stays.
--
-- KEYS[1]   the key
-- ARGV[1]   the version that the database has
-- ARGV[2]   the tombstone's life, in milliseconds
-- ARGV[3]   the channel to tell, or nothing: then this is a repair, and what is stored with this very version stays
-- ARGV[4]   what to tell there
-- ARGV[5…]  the tombstone: one string, or the fields and values of a hash in turn
--
-- Returns 1 if a tombstone was put, 0 if what is stored is at least as new.
local version, repair = tonumber(ARGV[1]), ARGV[3] == ''
local stored = version_of(KEYS[1])
local keep = stored and (stored > version or (repair and stored == version))
-- First, because it works in a Redis that has no memory left for the tombstone as well. Nobody acts on it before the end.
if not repair then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
if not keep then put(KEYS[1], ARGV[2], { unpack(ARGV, 5) }) end
return keep and 0 or 1
