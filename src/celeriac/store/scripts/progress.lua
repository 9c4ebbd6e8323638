-- Records how far a running job is.
--
-- KEYS[1] record  KEYS[2] events
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] progress, a JSON object
-- Returns 1 if it was recorded, 0 if the job does not run

if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'progress', ARGV[3], 'updated', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT') -- it may wait for children that are due later
emit(KEYS[2], ARGV[2], 'progress', ARGV[3])
redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', 1000) -- a job may report without end; its states are few
return 1
