-- Puts a tombstone, or the new value, in the place of a value, so that nothing older can be stored for as long as it
-- stands, and tells the other instances. What is newer stays.
--
-- KEYS[1]   the key
-- KEYS[2]   the key of its stamp
-- ARGV[1]   the version that the database has
-- ARGV[2]   the life of what is put, in milliseconds
-- ARGV[3]   the channel to tell, or nothing: then this is a repair, and what is stored with this very version stays
-- ARGV[4]   what to tell there
-- ARGV[5]   the stamp of what is put, or nothing
-- ARGV[6…]  what is put: one string, or the fields and values of a hash in turn
--
-- Returns 1 if it was put, 0 if what is stored is at least as new.
local version, repair = tonumber(ARGV[1]), ARGV[3] == ''
local stored = version_of(KEYS[1])
local keep = stored and (stored > version or (repair and stored == version))
-- First, because it works in a Redis that has no memory left for the tombstone as well. Nobody acts on it before the end.
if not repair then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
if not keep then replace(KEYS, ARGV[2], ARGV[5], { unpack(ARGV, 6) }) end
return keep and 0 or 1
