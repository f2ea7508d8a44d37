-- Asks for the right to fetch what an entry lacks.
--
-- KEYS[1]  the entry
-- KEYS[2]  the lease: a hash of its holder's token, and of whether anyone waits
-- ARGV[1]  the claimant's token
-- ARGV[2]  for how many milliseconds the lease holds
-- ARGV[3]  bytes 8 to 15 of the entry that the claimant saw, which say when it was received; empty if it saw none
--
-- Returns -1 if the lease is the claimant's, -2 if there is another entry, else for how many milliseconds another holds it.
local there = redis.call('GETRANGE', KEYS[1], 8, 15)
if there ~= '' and there ~= ARGV[3] then
  return -2
end
if redis.call('HSETNX', KEYS[2], 'token', ARGV[1]) == 1 then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return -1
end
if redis.call('HGET', KEYS[2], 'token') == ARGV[1] then
  -- Its answer was lost on the way, and it was sent again.
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return -1
end
redis.call('HSET', KEYS[2], 'waited', 1)
return math.max(redis.call('PTTL', KEYS[2]), 0)
