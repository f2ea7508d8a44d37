-- Keeps an entry, unless there are purges that the writer doesn't know.
--
-- KEYS[1]  the entry
-- KEYS[2]  the log of purges; left out in a Cluster, where it lies in another slot
-- ARGV[1]  the entry's bytes
-- ARGV[2]  for how many milliseconds it is kept
-- ARGV[3]  the number of the last purge that the writer knows, in decimal
-- ARGV[4]  the channel on which to say that an earlier entry was replaced
-- ARGV[5]  that message
--
-- Returns nothing if it is kept; else the newer records of the log, as since.lua does.
if KEYS[2] then
  local last = redis.call('LINDEX', KEYS[2], -1)
  if last then
    local behind = tonumber(string.match(last, '^(%d+):') or '0') - tonumber(ARGV[3])
    if behind > 0 then
      return redis.call('LRANGE', KEYS[2], string.format('-%.0f', behind), -1)
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
