-- Counts a task that has ended in its chord, as Celery does (celery/backends/redis.py, CHORD_PART_RETURN_LUA), so that its
-- workers and ours can share a chord. Unlike Celery it does not claim the callback: the worker that calls it does.
--
-- KEYS[1] outcomes of the parts  KEYS[2] what the chord's size differs by  KEYS[3] its size  KEYS[4] parts that are counted
-- KEYS[5] the saved group  KEYS[6] claim of the callback, or 'done'
-- ARGV  id of the part's task  outcome  place among the parts  is_ordered: '1' if outcomes are in the order of places
-- life of the chord (s)  group_life_s: life of the saved group (s); 0 for ever
-- Returns 1 if all parts are counted, and the callback has not been called, else 0

local outcomes, difference, size, counted, group, claim = unpack(KEYS)
local id, outcome, place, is_ordered, life_s, group_life_s = unpack(ARGV) -- fields: args
if redis.call('GET', claim) == 'done' then return 0 end

local part = id .. ':' .. place
if redis.call('SISMEMBER', counted, part) == 0 then
  if is_ordered == '1' then
    redis.call('ZADD', outcomes, place, outcome)
  else
    redis.call('RPUSH', outcomes, outcome)
  end
  redis.call('SADD', counted, part)
end
if life_s ~= '0' then
  for i = 1, 4 do redis.call('EXPIRE', KEYS[i], life_s) end
  if group_life_s ~= '0' then redis.call('EXPIRE', group, group_life_s) end
end
local expected = redis.call('GET', size)
if not expected then return 0 end
local ready = redis.call(is_ordered == '1' and 'ZCARD' or 'LLEN', outcomes)
return ready == expected + (redis.call('GET', difference) or 0) and 1 or 0
