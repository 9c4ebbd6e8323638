-- Cancels a job at once if no worker runs it. Else asks its worker to stop it.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result
-- ARGV  now (ms)  life of a finished record (ms)  id  records: prefix of records
-- cancelled_event: event data for cancelled  outcome: Celery's outcome for cancelled
-- request_event: event data for a request  channel that workers listen on  ends: states that are ends
-- Returns {'unknown'}
--       | {'cancelled' or 'requested' or the state of a job that has ended, field of the record, value, ...}

local now_ms, life_ms, id, records, cancelled_event, outcome, request_event, channel, ends = unpack(ARGV) -- fields: args

local state, open, parent_id = unpack(redis.call('HMGET', KEYS[1], 'state', 'open', 'parent'))
if not state then return {'unknown'} end
if contains(ends, state) then return with_record(state, KEYS[1]) end

redis.call('HSET', KEYS[1], 'cancel', '1')
-- The worker that runs the job hears this, and so do those that run its children.
redis.call('PUBLISH', channel, id)
local waits_for_children = open and tonumber(open) > 0
if state == 'running' and not waits_for_children then
  emit(KEYS[2], life_ms, 'state', request_event)
  return with_record('requested', KEYS[1])
end
redis.call('HSET', KEYS[1], 'state', 'cancelled', 'updated', now_ms, 'finished', now_ms)
redis.call('PEXPIRE', KEYS[1], life_ms)
store_result(KEYS[3], outcome, life_ms)
if parent_id then settle_parent(KEYS[1], records .. parent_id, parent_id, 'cancelled') end
emit(KEYS[2], life_ms, 'state', cancelled_event)
return with_record('cancelled', KEYS[1])
