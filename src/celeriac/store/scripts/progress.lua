-- Records the progress of a running job.
--
-- KEYS[1] record  KEYS[2] events
-- ARGV  now (ms)  life of an open record (ms)  progress, a JSON object
-- Returns 1 if it was recorded, 0 if the job does not run

local now_ms, life_ms, progress = unpack(ARGV) -- fields: args

if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'progress', progress, 'updated', now_ms)
redis.call('PEXPIRE', KEYS[1], life_ms, 'GT') -- the job may wait for children that are due later
emit(KEYS[2], life_ms, 'progress', progress)
redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', 1000) -- a job may report progress without end, but has few states
return 1
