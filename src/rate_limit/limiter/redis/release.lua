-- Gives a slot back. Returns how many there were: 0 or 1.
--
-- KEYS[1]  the slots, as take.lua has them
-- ARGV[1]  the slot
return redis.call('ZREM', KEYS[1], ARGV[1])
