-- Keeps a slot for longer; also one that was lost with Redis's memory, for the request that holds it is still under way.
--
-- KEYS[1]  the slots, as take.lua has them
-- ARGV[1]  the slot
-- ARGV[2]  for how many microseconds
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
-- Others may hold slots of the same key for longer.
local stays = math.ceil(tonumber(ARGV[2]) / 1000) + 1000
if redis.call('PTTL', KEYS[1]) < stays then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', stays))
end
return false
