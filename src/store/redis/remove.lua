-- Removes an entry, and tells the other processes, which may have it near when it is gone here.
--
-- KEYS[1]  the entry
-- ARGV[1]  the channel on which to tell
-- ARGV[2]  that message
--
-- Returns how many there were.
local removed = redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return removed
