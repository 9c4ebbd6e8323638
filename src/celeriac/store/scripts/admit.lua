-- Takes units under several limits together, or says which limit is in the way.
--
-- KEYS[1] grant: string `<units> <day>`, which makes a second call of the same asker return what the first one did
-- then per limit: its bucket, and its slots
-- bucket  hash  tokens: units that could be had at once, at (ms); used: units that were taken on day (since the epoch);
--               turn: the latest time (ms) at which a refused asker was told to come back
--               closed: the time (ms) until which nothing is granted
-- slots   zset  grants by the time until which they hold (ms)
-- ARGV  id of the grant  hold_ms: how long it holds (ms)  units: how many are wanted
-- then per limit, each 0 if there is no such bound: rate (units a second)  burst  concurrency  daily
-- Returns {units} | {0, number of the limit from 0, ms until it is worth while to ask again}

local id, hold_ms, units = unpack(ARGV, 1, WIDTH.args) -- fields: args

-- An asker without a place comes back after this time, and the next ones a step later each. A time further away than
-- the spread begins at the front again. So they come evenly, however many they are.
local POLL_MS, STEP_MS, LONGEST_STEP_MS, SPREAD_MS = 50, 20, 200, 10000
local DAY_MS = 86400000

local known = redis.call('GET', KEYS[1])
if known then return {tonumber(string.match(known, '^%d+'))} end

local now_ms = server_time()
local today = math.floor(now_ms / DAY_MS)
local midnight_ms = (today + 1) * DAY_MS - now_ms
local room, looked, longest = tonumber(units), {}, nil

-- Looks at a limit: how many units it has room for, and if none, when it may have.
local function look(number, rate, burst, concurrency, daily) -- fields: limits from rate
  rate, burst, concurrency, daily = tonumber(rate), tonumber(burst), tonumber(concurrency), tonumber(daily)
  local bucket, slots = KEYS[2 + 2 * number], KEYS[3 + 2 * number]
  local tokens, at, day, used, turn, closed = unpack(redis.call('HMGET', bucket, 'tokens', 'at', 'day', 'used', 'turn', 'closed'))
  local limit = {number = number, bucket = bucket, wait_ms = 0, step_ms = STEP_MS, life_ms = SPREAD_MS, turn = tonumber(turn) or 0}
  local has = room
  if rate > 0 then
    local since_ms = math.max(0, now_ms - (tonumber(at) or now_ms))
    limit.tokens = math.min(burst, (tonumber(tokens) or burst) + since_ms * rate / 1000)
    has = math.min(has, math.floor(limit.tokens + 0.000001))
    limit.life_ms = limit.life_ms + math.ceil(burst * 1000 / rate)
    limit.wait_ms = math.max(0, math.ceil((1 - limit.tokens) * 1000 / rate))
    limit.step_ms = math.min(LONGEST_STEP_MS, 1000 / rate)
  end
  if daily > 0 then
    limit.used = tonumber(day) == today and tonumber(used) or 0
    has = math.min(has, daily - limit.used)
    limit.life_ms = math.max(limit.life_ms, midnight_ms + SPREAD_MS)
    if limit.used >= daily then limit.wait_ms = math.max(limit.wait_ms, midnight_ms) end
  end
  if concurrency > 0 then
    limit.slots = slots
    redis.call('ZREMRANGEBYSCORE', slots, '-inf', now_ms)
    if redis.call('ZCARD', slots) >= concurrency then
      has, limit.wait_ms, limit.step_ms = 0, math.max(limit.wait_ms, POLL_MS), math.max(limit.step_ms, STEP_MS)
    end
  end
  local closed_ms = math.ceil((tonumber(closed) or 0) - now_ms)
  if closed_ms > 0 then has, limit.wait_ms = 0, math.max(limit.wait_ms, closed_ms) end
  room = math.max(0, math.min(room, has))
  if has < 1 and (not longest or limit.wait_ms > longest.wait_ms) then longest = limit end
  looked[#looked + 1] = limit
end

-- Keeps a key for at least that long. A bound that another asker knows may need it for longer.
local function keep(key, life_ms)
  redis.call('PEXPIRE', key, math.max(life_ms, redis.call('PTTL', key)))
end

for number = 0, (#KEYS - 1) / 2 - 1 do
  local first = WIDTH.args + 1 + number * WIDTH.limits
  look(number, unpack(ARGV, first, first + WIDTH.limits - 1))
end

if longest then
  local earliest_ms = now_ms + longest.wait_ms
  local turn = math.max(earliest_ms, longest.turn + longest.step_ms)
  if turn > earliest_ms + SPREAD_MS then turn = earliest_ms end
  redis.call('HSET', longest.bucket, 'turn', string.format('%.3f', turn))
  keep(longest.bucket, math.max(longest.life_ms, longest.wait_ms + SPREAD_MS))
  return {0, longest.number, math.ceil(turn - now_ms)}
end

for _, limit in ipairs(looked) do
  if limit.tokens then redis.call('HSET', limit.bucket, 'tokens', string.format('%.9f', limit.tokens - room), 'at', now_ms) end
  if limit.used then redis.call('HSET', limit.bucket, 'day', today, 'used', limit.used + room) end
  if limit.tokens or limit.used then keep(limit.bucket, limit.life_ms) end
  if limit.slots then
    redis.call('ZADD', limit.slots, now_ms + hold_ms, id)
    keep(limit.slots, tonumber(hold_ms))
  end
end
redis.call('SET', KEYS[1], room .. ' ' .. today, 'PX', hold_ms)
return {room}
