-- Cancels a job: at once while no worker runs it, else by asking the worker that does.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] parent record (or the job's own)
-- ARGV[1] now (ms)  ARGV[2] life of a finished record (ms)  ARGV[3] id  ARGV[4] parent id, or ''
-- ARGV[5] event data for cancelled  ARGV[6] Celery's outcome for cancelled
-- ARGV[7] event data for a request  ARGV[8] channel that workers listen on  ARGV[9] states that are ends
-- Returns 'unknown' | 'cancelled' | 'requested' | the state of a job that has ended

local known = redis.call('HMGET', KEYS[1], 'state', 'open')
local state, open = known[1], known[2]
if not state then return 'unknown' end
if contains(ARGV[9], state) then return state end

redis.call('HSET', KEYS[1], 'cancel', '1')
-- Heard by the worker that runs the job, and by those that run its children.
redis.call('PUBLISH', ARGV[8], ARGV[3])
local waits_for_children = open and tonumber(open) > 0
if state == 'running' and not waits_for_children then
  emit(KEYS[2], ARGV[2], 'state', ARGV[7])
  return 'requested'
end
redis.call('HSET', KEYS[1], 'state', 'cancelled', 'updated', ARGV[1], 'finished', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
store_result(KEYS[3], ARGV[6], ARGV[2])
settle_parent(KEYS[1], KEYS[4], ARGV[4], 'cancelled')
emit(KEYS[2], ARGV[2], 'state', ARGV[5])
return 'cancelled'
