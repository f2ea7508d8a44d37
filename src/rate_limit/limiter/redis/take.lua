-- Charges all limits of a request, or none; of several requests alike, as many as there is room for.
--
-- KEYS[i]  the counter of limit i: a hash from bucket to count, or for slots a sorted set from slot to the time it runs out
-- ARGV[1]  how many requests alike there are
-- ARGV[2]  an identifier for the slots that this call takes; then for each limit, in the order of the keys:
--   law     'b': buckets; 'w': weighted; 's': slots
--   x       b: a bucket's width; w: the window; s: for how long a slot is taken; all times in microseconds
--   y       b: how many buckets count besides the one that is being filled; w: the scale
--   most    w: what any number counts as at most
--   amount  the quota
--   cost    of each request
--   shadow  '1' if it denies nothing
--
-- Returns how many requests there was room for, then for each limit:
--   used    with what was charged
--   room    the time until another request finds room; -1: now; -2: nobody knows; -3: never
--   refill  the time until more is free
--   reset   the time until all is free
--   bucket  that was charged
--   fits    how many of the requests this limit has room for
--   charged how many of them it was charged for
--
-- The laws are those of window.rs. The clock is this server's; one that went back fills the youngest bucket that there is.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local alike = tonumber(ARGV[1])
local FIELDS = 7

local function text(number)
  return string.format('%.0f', number)
end

-- What is in a counter, but for what doesn't count any more and what can't be read.
local function read(key, limit)
  limit.list, limit.total, limit.dead = {}, 0, {}
  local flat = redis.pcall('HGETALL', key)
  if flat.err then
    -- Something else has taken the name.
    redis.call('DEL', key)
    flat = {}
  end
  local youngest = 0
  for i = 1, #flat, 2 do
    local at, count = tonumber(flat[i]), tonumber(flat[i + 1])
    if at and count and at >= 0 and at < 9007199254740992 and at % 1 == 0 and count >= 1 and count < 9007199254740992 and count % 1 == 0 then
      limit.list[#limit.list + 1] = {at, count, flat[i]}
      if at > youngest then youngest = at end
    else
      limit.dead[#limit.dead + 1] = flat[i]
    end
  end
  limit.bucket = math.max(math.floor(now / limit.x), youngest)
  local first = limit.bucket - (limit.law == 'b' and limit.y or 1)
  local live, sorted = {}, true
  for _, held in ipairs(limit.list) do
    if held[1] < first then
      limit.dead[#limit.dead + 1] = held[3]
    else
      if #live > 0 and live[#live][1] > held[1] then sorted = false end
      live[#live + 1] = held
      limit.total = limit.total + held[2]
    end
  end
  if not sorted then
    table.sort(live, function(a, b) return a[1] < b[1] end)
  end
  limit.list = live
end

-- What the bucket before the one that is being filled counts as, and this one.
local function pair(limit)
  local elder, younger = 0, 0
  for _, held in ipairs(limit.list) do
    if held[1] == limit.bucket - 1 then elder = math.min(held[2], limit.most) end
    if held[1] == limit.bucket then younger = math.min(held[2], limit.most) end
  end
  return elder, younger
end

local function used(limit)
  if limit.law ~= 'w' then
    return limit.total
  end
  local elder, younger = pair(limit)
  local left = math.min((limit.bucket + 1) * limit.x - now, limit.x)
  return younger + math.ceil(elder * math.ceil(left / limit.y) / math.floor(limit.x / limit.y))
end

-- The time until there is room for a cost.
local function room(limit, cost)
  if cost == 0 then return -1 end
  if cost > limit.amount then return -3 end
  if limit.law == 's' then
    return limit.total + cost <= limit.amount and -1 or -2
  end
  if limit.law == 'b' then
    local rest = limit.total
    if rest + cost <= limit.amount then return -1 end
    for _, held in ipairs(limit.list) do
      rest = rest - held[2]
      if rest + cost <= limit.amount then
        return (held[1] + limit.y + 1) * limit.x - now
      end
    end
    return -2
  end
  local elder, younger = pair(limit)
  local parts = math.floor(limit.x / limit.y)
  local fits = younger + cost <= limit.amount
  local counted, free, ends = elder, limit.amount - younger - cost, limit.bucket + 1
  if not fits then
    counted, free, ends = younger, limit.amount - cost, limit.bucket + 2
  end
  local left = ends * limit.x - now
  if fits and counted * math.ceil(math.min(left, limit.x) / limit.y) <= free * parts then return -1 end
  local covered = limit.x
  if counted > 0 then covered = math.floor(free * parts / counted) * limit.y end
  return math.max(left - math.min(covered, limit.x), 0)
end

local function charge(key, limit, count)
  local total = count * limit.cost
  if limit.law == 's' then
    if total > 0 then
      redis.call('ZADD', key, text(now + limit.x), ARGV[2])
      redis.call('PEXPIRE', key, text(math.ceil(limit.x / 1000) + 1000))
      limit.total = limit.total + total
    end
    return
  end
  for i = 1, #limit.dead, 1000 do
    redis.call('HDEL', key, unpack(limit.dead, i, math.min(i + 999, #limit.dead)))
  end
  if total == 0 then return end
  redis.call('HINCRBY', key, text(limit.bucket), text(total))
  -- As long as it counts, also after a clock that went back.
  local stays = (limit.bucket + (limit.law == 'b' and limit.y + 1 or 2)) * limit.x - now
  redis.call('PEXPIRE', key, text(math.ceil(stays / 1000) + 1))
  local last = limit.list[#limit.list]
  if last and last[1] == limit.bucket then
    last[2] = last[2] + total
  else
    limit.list[#limit.list + 1] = {limit.bucket, total}
  end
  limit.total = limit.total + total
end

local limits, admitted = {}, alike
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * FIELDS
  local limit = {
    law = ARGV[at + 1], x = tonumber(ARGV[at + 2]), y = tonumber(ARGV[at + 3]), most = tonumber(ARGV[at + 4]),
    amount = tonumber(ARGV[at + 5]), cost = tonumber(ARGV[at + 6]), shadow = ARGV[at + 7] == '1',
  }
  if limit.law == 's' then
    local removed = redis.pcall('ZREMRANGEBYSCORE', key, '-inf', text(now))
    if type(removed) == 'table' then redis.call('DEL', key) end
    limit.list, limit.dead, limit.bucket, limit.total = {}, {}, 0, redis.call('ZCARD', key)
  else
    read(key, limit)
    if limit.law == 'w' then limit.amount = math.min(limit.amount, limit.most) end
  end
  limit.fits = alike
  if limit.cost > 0 then
    limit.fits = math.max(math.min(alike, math.floor((limit.amount - used(limit)) / limit.cost)), 0)
  end
  if not limit.shadow then admitted = math.min(admitted, limit.fits) end
  limits[i] = limit
end

local answer = {admitted}
for i, limit in ipairs(limits) do
  local count = math.min(admitted, limit.fits)
  charge(KEYS[i], limit, count)
  local taken, youngest = used(limit), limit.list[#limit.list]
  local refill = room(limit, math.max(limit.amount - taken, 0) + 1)
  local reset = 0
  if youngest then
    reset = math.max((youngest[1] + (limit.law == 'b' and limit.y + 1 or 2)) * limit.x - now, 0)
  end
  local next_room = -1
  if limit.fits < alike or admitted < alike then next_room = room(limit, limit.cost) end
  local said = {taken, next_room, math.max(refill, 0), reset, limit.bucket, limit.fits, count}
  for _, number in ipairs(said) do answer[#answer + 1] = number end
end
return answer
