-- Moves a job to another state, with its outcome, if the state it is in allows that.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] parent record (or the job's own)  KEYS[5] index
-- ARGV[1] now (ms)  ARGV[2] life of the record from here on (ms)  ARGV[3] new state
-- ARGV[4] states it may come from, joined by commas  ARGV[5] '1' if the new state is an end
-- ARGV[6] id  ARGV[7] parent id, or ''  ARGV[8] event data  ARGV[9] outcome in Celery's format, or ''
-- ARGV[10] the run that reports this, or ''  ARGV[11] the attempt it was, or ''
-- ARGV[12] life of an open record (ms)
-- ARGV[13...] field, value, ... to set on the record
-- Returns {'moved'} | {'refused', current state}

local known = redis.call('HMGET', KEYS[1], 'state', 'run')
local state, run = known[1], known[2]
if state and not contains(ARGV[4], state) then return {'refused', state} end
-- Reported by a run that was given up for lost, or that was cancelled and retried by hand: another one counts now.
if ARGV[10] ~= '' and run ~= ARGV[10] then return {'refused', state} end
if not state then -- enqueued by a producer that keeps no records
  redis.call('HSET', KEYS[1], 'created', ARGV[1])
  add_to_index(KEYS[5], ARGV[6], ARGV[1], ARGV[12])
end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'updated', ARGV[1], unpack(ARGV, 13))
if ARGV[3] ~= 'running' then redis.call('HDEL', KEYS[1], 'receipt') end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'finished', ARGV[1]) end
if ARGV[3] == 'retrying' and ARGV[11] ~= '' then redis.call('HSET', KEYS[1], 'floor', ARGV[11] + 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
store_result(KEYS[3], ARGV[9], ARGV[2])
if ARGV[5] == '1' then settle_parent(KEYS[1], KEYS[4], ARGV[7], ARGV[3]) end
emit(KEYS[2], ARGV[2], 'state', ARGV[8])
return {'moved'}
