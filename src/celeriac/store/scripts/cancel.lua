-- Cancels a job: at once while no worker runs it, else by asking the worker that does.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result
-- ARGV[1] now (ms)  ARGV[2] life of a finished record (ms)  ARGV[3] id  ARGV[4] prefix of records
-- ARGV[5] event data for cancelled  ARGV[6] Celery's outcome for cancelled
-- ARGV[7] event data for a request  ARGV[8] channel that workers listen on  ARGV[9] states that are ends
-- Returns {'unknown'}
--       | {'cancelled' or 'requested' or the state of a job that has ended, field of the record, value, ...}

local state, open, parent_id = unpack(redis.call('HMGET', KEYS[1], 'state', 'open', 'parent'))
if not state then return {'unknown'} end
if contains(ARGV[9], state) then return with_record(state, KEYS[1]) end

redis.call('HSET', KEYS[1], 'cancel', '1')
-- Heard by the worker that runs the job, and by those that run its children.
redis.call('PUBLISH', ARGV[8], ARGV[3])
local waits_for_children = open and tonumber(open) > 0
if state == 'running' and not waits_for_children then
  emit(KEYS[2], ARGV[2], 'state', ARGV[7])
  return with_record('requested', KEYS[1])
end
redis.call('HSET', KEYS[1], 'state', 'cancelled', 'updated', ARGV[1], 'finished', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
store_result(KEYS[3], ARGV[6], ARGV[2])
if parent_id then settle_parent(KEYS[1], ARGV[4] .. parent_id, parent_id, 'cancelled') end
emit(KEYS[2], ARGV[2], 'state', ARGV[5])
return with_record('cancelled', KEYS[1])
