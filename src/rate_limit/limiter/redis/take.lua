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
-- The laws are those of window.rs. The clock is this server's; one that went back fills the youngest bucket that there is. A counter that
-- is named twice needs room for both.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local alike = tonumber(ARGV[1])
local FIELDS = 7
-- The longest window.
local LONGEST = 366 * 86400 * 1000000

local function text(number)
  return string.format('%.0f', number)
end

-- A number as this script writes it; nothing that is written otherwise could be added to.
local function whole(digits)
  if not digits:find('^%d+$') or digits:find('^0.') then return nil end
  local number = tonumber(digits)
  return number < 9007199254740992 and number or nil
end

-- What is in a counter, but for what doesn't count any more and what can't be read.
local function read(key, limit)
  local counter, kept = {list = {}, total = 0, dead = {}, asked = 0}, {}
  local flat = redis.pcall('HGETALL', key)
  if flat.err then
    -- Something else has taken the name.
    redis.call('DEL', key)
    flat = {}
  end
  local youngest = math.floor(now / limit.x)
  -- No clock goes back so far.
  local last = youngest + math.floor(LONGEST / limit.x)
  for i = 1, #flat, 2 do
    local at, count = whole(flat[i]), whole(flat[i + 1])
    if at and count and count > 0 and at <= last then
      kept[#kept + 1] = {at, count, flat[i]}
      if at > youngest then youngest = at end
    else
      counter.dead[#counter.dead + 1] = flat[i]
    end
  end
  counter.bucket = youngest
  local first = youngest - (limit.law == 'b' and limit.y or 1)
  local live, sorted = counter.list, true
  for _, held in ipairs(kept) do
    if held[1] < first then
      counter.dead[#counter.dead + 1] = held[3]
    else
      if #live > 0 and live[#live][1] > held[1] then sorted = false end
      live[#live + 1] = held
      counter.total = counter.total + held[2]
    end
  end
  if not sorted then
    table.sort(live, function(a, b) return a[1] < b[1] end)
  end
  return counter
end

-- What the bucket before the one that is being filled counts as, and this one.
local function pair(limit)
  local elder, younger, bucket = 0, 0, limit.counter.bucket
  for _, held in ipairs(limit.counter.list) do
    if held[1] == bucket - 1 then elder = math.min(held[2], limit.most) end
    if held[1] == bucket then younger = math.min(held[2], limit.most) end
  end
  return elder, younger
end

-- How many parts of the elder bucket the window covers, if so much time is left of it.
local function parts(limit, left)
  return math.min(math.ceil(left / limit.y), math.floor(limit.x / limit.y))
end

local function used(limit)
  if limit.law ~= 'w' then
    return limit.counter.total
  end
  local elder, younger = pair(limit)
  local left = (limit.counter.bucket + 1) * limit.x - now
  return younger + math.ceil(elder * parts(limit, left) / parts(limit, limit.x))
end

-- The time until there is room for a cost.
local function room(limit, cost)
  if cost == 0 then return -1 end
  if cost > limit.amount then return -3 end
  if limit.law == 's' then
    return limit.counter.total + cost <= limit.amount and -1 or -2
  end
  if limit.law == 'b' then
    local rest = limit.counter.total
    if rest + cost <= limit.amount then return -1 end
    for _, held in ipairs(limit.counter.list) do
      rest = rest - held[2]
      if rest + cost <= limit.amount then
        return (held[1] + limit.y + 1) * limit.x - now
      end
    end
    return -2
  end
  local elder, younger = pair(limit)
  local all = parts(limit, limit.x)
  local fits = younger + cost <= limit.amount
  local counted, free, ends = elder, limit.amount - younger - cost, limit.counter.bucket + 1
  if not fits then
    counted, free, ends = younger, limit.amount - cost, limit.counter.bucket + 2
  end
  local left = ends * limit.x - now
  if fits and counted * parts(limit, left) <= free * all then return -1 end
  local covered = math.floor(free * all / counted)
  return left - (covered < all and covered * limit.y or limit.x)
end

local function charge(key, limit, count)
  local total, counter = count * limit.cost, limit.counter
  if limit.law == 's' then
    if total > 0 then
      redis.call('ZADD', key, text(now + limit.x), ARGV[2])
      -- Others may hold slots of the same key for longer.
      local stays = math.ceil(limit.x / 1000) + 1000
      if redis.call('PTTL', key) < stays then
        redis.call('PEXPIRE', key, text(stays))
      end
      counter.total = counter.total + total
    end
    return
  end
  for i = 1, #counter.dead, 1000 do
    redis.call('HDEL', key, unpack(counter.dead, i, math.min(i + 999, #counter.dead)))
  end
  counter.dead = {}
  if total == 0 then return end
  redis.call('HINCRBY', key, text(counter.bucket), text(total))
  -- As long as it counts, also after a clock that went back.
  local stays = (counter.bucket + (limit.law == 'b' and limit.y + 1 or 2)) * limit.x - now
  redis.call('PEXPIRE', key, text(math.ceil(stays / 1000) + 1))
  local last = counter.list[#counter.list]
  if last and last[1] == counter.bucket then
    last[2] = last[2] + total
  else
    counter.list[#counter.list + 1] = {counter.bucket, total}
  end
  counter.total = counter.total + total
end

local limits, counters, admitted = {}, {}, alike
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * FIELDS
  local limit = {
    law = ARGV[at + 1], x = tonumber(ARGV[at + 2]), y = tonumber(ARGV[at + 3]), most = tonumber(ARGV[at + 4]),
    amount = tonumber(ARGV[at + 5]), cost = tonumber(ARGV[at + 6]), shadow = ARGV[at + 7] == '1',
  }
  if limit.law == 'w' then limit.amount = math.min(limit.amount, limit.most) end
  local counter = counters[key]
  if not counter and limit.law == 's' then
    local removed = redis.pcall('ZREMRANGEBYSCORE', key, '-inf', text(now))
    if type(removed) == 'table' then redis.call('DEL', key) end
    counter = {list = {}, total = redis.call('ZCARD', key), dead = {}, asked = 0, bucket = 0}
  end
  counter = counter or read(key, limit)
  limit.counter, limit.ahead, counters[key], limits[i] = counter, counter.asked, counter, limit
  -- A shadow without room is not charged.
  if not limit.shadow or used(limit) + limit.ahead + limit.cost <= limit.amount then
    counter.asked = counter.asked + limit.cost
  end
end
for _, limit in ipairs(limits) do
  limit.fits = alike
  if limit.cost > 0 then
    local left = limit.amount - used(limit) - limit.ahead - limit.cost
    limit.fits = left < 0 and 0 or math.min(alike, math.floor(left / limit.counter.asked) + 1)
  end
  if not limit.shadow then admitted = math.min(admitted, limit.fits) end
end

local answer = {admitted}
for i, limit in ipairs(limits) do
  local count = math.min(admitted, limit.fits)
  charge(KEYS[i], limit, count)
  limit.charged = count
end
for _, limit in ipairs(limits) do
  local taken, youngest = used(limit), limit.counter.list[#limit.counter.list]
  local refill = room(limit, math.max(limit.amount - taken, 0) + 1)
  local reset = 0
  if youngest then
    reset = math.max((youngest[1] + (limit.law == 'b' and limit.y + 1 or 2)) * limit.x - now, 0)
  end
  local next_room = -1
  if limit.cost > 0 and (limit.fits < alike or admitted < alike) then next_room = room(limit, limit.ahead + limit.cost) end
  local said = {taken, next_room, math.max(refill, 0), reset, limit.counter.bucket, limit.fits, limit.charged}
  for _, number in ipairs(said) do answer[#answer + 1] = number end
end
return answer
