-- Holds on to a lease.
--
-- KEYS[1]  the lease
-- ARGV[1]  its holder's token
-- ARGV[2]  for how many milliseconds it holds from now on
--
-- Returns whether it still was the holder's.
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
