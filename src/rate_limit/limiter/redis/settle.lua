-- Corrects what was charged, now that it is known what it should have been.
--
-- KEYS[i]  a counter, as take.lua has it
-- For each, in the order of the keys:
--   law, x, y  as in take.lua
--   bucket     that was charged
--   more       how much more it should have been; negative: less
--
-- What doesn't count any more is passed over, and so is what was never charged; nothing falls below zero, nor rises above what take.lua
-- can read. Returns nothing.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 5
  local x, y, bucket, more = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], tonumber(ARGV[at + 5])
  local counts = ARGV[at + 1] == 'b' and y or 1
  local filling = math.floor(now / x)
  if tonumber(bucket) >= filling - counts then
    local held = redis.pcall('HGET', key, bucket)
    held = type(held) == 'string' and held:find('^[1-9]%d*$') and tonumber(held) or 0
    if held > 9007199254740991 then held = 0 end
    local corrected = math.min(held + more, 9007199254740991)
    -- A clock that went back may have charged a bucket that is still to come.
    if corrected > 0 and (held > 0 or tonumber(bucket) <= filling) then
      if type(redis.pcall('HSET', key, bucket, string.format('%.0f', corrected))) == 'number' and redis.call('PTTL', key) < 0 then
        redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(((tonumber(bucket) + counts + 1) * x - now) / 1000) + 1))
      end
    elseif held > 0 then
      redis.call('HDEL', key, bucket)
    end
  end
end
return false
