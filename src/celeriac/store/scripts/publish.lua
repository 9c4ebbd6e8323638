-- Records a task that Celery itself publishes. If a worker was quicker, adds what the worker did not record.
--
-- KEYS[1] record  KEYS[2] index  KEYS[3] events
-- ARGV  now (ms)  life of an open record (ms)  id  event data, or ''
-- index_life_ms: life of an entry of the index (ms)  then field, value, ...
-- Returns 1 if it was recorded, 0 if it was there

local now_ms, life_ms, id, event, index_life_ms = unpack(ARGV, 1, WIDTH.args) -- fields: args

if redis.call('EXISTS', KEYS[1]) == 1 then
  for i = WIDTH.args + 1, #ARGV, 2 do
    if ARGV[i] == 'arguments' or ARGV[i] == 'priority' then
      redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
    end
  end
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, WIDTH.args + 1))
redis.call('PEXPIRE', KEYS[1], life_ms)
add_to_index(KEYS[2], id, now_ms, index_life_ms)
if event ~= '' then emit(KEYS[3], life_ms, 'state', event) end
return 1
