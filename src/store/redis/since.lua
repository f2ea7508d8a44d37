-- The purges that are not known yet.
--
-- KEYS[1]  the log of purges
-- ARGV[1]  the number of the last purge that is known, in decimal
--
-- Returns the newer records of the log, oldest first, each a number in decimal, a colon and a selector. There are fewer than the
-- numbers say if the log was cut.
local last = redis.call('LINDEX', KEYS[1], -1)
if last then
  local behind = tonumber(string.match(last, '^(%d+):') or '0') - tonumber(ARGV[1])
  if behind > 0 then
    return redis.call('LRANGE', KEYS[1], string.format('-%.0f', behind), -1)
  end
end
return {}
