-- Notes a purge before it is done, and tells the other processes.
--
-- KEYS[1]  the log of purges
-- ARGV[1]  the selector
-- ARGV[2]  how many purges the log keeps besides this one
-- ARGV[3]  for how many milliseconds it is kept
-- ARGV[4]  the channel on which to tell
-- ARGV[5]  the beginning of that message; the record follows
--
-- Returns the purge's number, in decimal. The first number of a new log is the time, so that numbers grow even if Redis lost one.
local last = redis.call('LINDEX', KEYS[1], -1)
local number
if last then
  number = tonumber(string.match(last, '^(%d+):') or '0') + 1
else
  local time = redis.call('TIME')
  number = time[1] * 1000 + math.floor(time[2] / 1000)
end
local record = string.format('%.0f', number) .. ':' .. ARGV[1]
-- Made smaller first: a Redis that is full lets a script add to what it holds only if it has begun to write, and purges make room.
redis.call('LTRIM', KEYS[1], 1 - ARGV[2], -1)
redis.call('RPUSH', KEYS[1], record)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5] .. record)
return string.format('%.0f', number)
