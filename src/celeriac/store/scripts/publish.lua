-- Records a task that Celery itself publishes. If a worker was quicker, adds what the worker did not record.
--
-- KEYS[1] record  KEYS[2] index  KEYS[3] events
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] id  ARGV[4] event data, or ''
-- ARGV[5] life of an entry of the index (ms)  ARGV[6...] field, value, ...
-- Returns 1 if it was recorded, 0 if it was there

if redis.call('EXISTS', KEYS[1]) == 1 then
  for i = 6, #ARGV, 2 do
    if ARGV[i] == 'arguments' or ARGV[i] == 'priority' then
      redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
    end
  end
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
add_to_index(KEYS[2], ARGV[3], ARGV[1], ARGV[5])
if ARGV[4] ~= '' then emit(KEYS[3], ARGV[2], 'state', ARGV[4]) end
return 1
