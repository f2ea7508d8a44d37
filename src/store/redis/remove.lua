-- Removes an entry, and tells the other processes if there was one.
--
-- KEYS[1]  the entry
-- ARGV[1]  the channel on which to tell
-- ARGV[2]  that message
--
-- Returns how many there were.
local removed = redis.call('UNLINK', KEYS[1])
if removed > 0 then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return removed
