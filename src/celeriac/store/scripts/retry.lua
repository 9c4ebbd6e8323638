-- Publishes a job's next attempt, and records that it is retrying, in one step.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] the list the message goes to  KEYS[5] delayed of the queue
-- ARGV[1] now (ms)  ARGV[2] life of the record, beyond its delay too (ms)  ARGV[3] the attempt that failed  ARGV[4] its run, or ''
-- ARGV[5] message  ARGV[6] when it is due (ms), or ''  ARGV[7] error  ARGV[8] event data  ARGV[9] Celery's outcome
-- ARGV[10] prefix of records
-- Returns 'published' | 'repeated'    it had been published already
--       | 'superseded'  another run of the job counts by now
--       | 'waiting'     it has fanned out without having heard of it, and is run again after its children
--       | the state of a job that has ended

local known = redis.call('HMGET', KEYS[1], 'state', 'run', 'floor', 'cancel', 'open')
local state, run, floor, cancel, open = unpack(known)
if state == 'succeeded' or state == 'failed' or state == 'dead' or state == 'cancelled' then return state end
if ARGV[4] ~= '' and run ~= ARGV[4] then return 'superseded' end
if open and tonumber(open) > 0 then return 'waiting' end
if floor and tonumber(floor) > tonumber(ARGV[3]) then return 'repeated' end

-- It is published first: nothing is changed if the queue is a key of another type.
if ARGV[6] == '' or cancel then -- cancelled meanwhile: the next worker that takes it ends it, without delay
  redis.call('LPUSH', KEYS[4], ARGV[5])
else
  delay(KEYS[5], ARGV[6], join_entry(KEYS[4], ARGV[5]))
  redis.call('HSET', KEYS[1], 'delay_until', ARGV[6])
end
redis.call('HSET', KEYS[1], 'state', 'retrying', 'updated', ARGV[1], 'floor', ARGV[3] + 1, 'error', ARGV[7])
redis.call('HDEL', KEYS[1], 'receipt')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
prolong_ancestors(KEYS[1], ARGV[10], ARGV[2])
store_result(KEYS[3], ARGV[9], ARGV[2])
emit(KEYS[2], ARGV[2], 'state', ARGV[8])
return 'published'
