-- Gives a lease back, and wakes those who wait for it. A lease that went to another is left alone.
--
-- KEYS[1]  the lease
-- ARGV[1]  its holder's token
-- ARGV[2]  the channel on which to wake
-- ARGV[3]  that message
--
-- Returns whether it still was the holder's.
local lease = redis.call('HMGET', KEYS[1], 'token', 'waited')
if lease[1] == ARGV[1] then
  redis.call('DEL', KEYS[1])
  if lease[2] then
    redis.call('PUBLISH', ARGV[2], ARGV[3])
  end
  return 1
end
return 0
