-- A worker is about to run a job: says whether it may, and records that it does.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] parent record (or the job's own)  KEYS[5] index
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] life of a finished one (ms)
-- ARGV[4] attempt, from 1  ARGV[5] worker  ARGV[6] id  ARGV[7] parent id, or ''
-- ARGV[8] event data for running  ARGV[9] Celery's outcome for running
-- ARGV[10] event data for cancelled  ARGV[11] Celery's outcome for cancelled
-- ARGV[12] task  ARGV[13] queue
-- Returns {'run', children, succeeded, failed, cancelled} (-1 where it has not fanned out)
--       | {'stale'}      the job has ended, or a later attempt has begun, or it waits for its children
--       | {'cancelled'}  it was cancelled before it began

local known = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'cancel', 'children', 'open')
local state, seen, cancel, children, open = unpack(known)
local attempt = tonumber(ARGV[4])
if state == 'cancelled' then return {'cancelled'} end
if state == 'succeeded' or state == 'failed' or state == 'dead' then return {'stale'} end
if seen and (attempt < tonumber(seen) or (attempt == tonumber(seen) and state == 'retrying')) then return {'stale'} end
if open and tonumber(open) > 0 then return {'stale'} end

if not cancel and ARGV[7] ~= '' and redis.call('HGET', KEYS[1], 'parent') == ARGV[7] then
  cancel = redis.call('HGET', KEYS[4], 'state') == 'cancelled'
end
if cancel then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'updated', ARGV[1], 'finished', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  store_result(KEYS[3], ARGV[11], ARGV[3])
  settle_parent(KEYS[1], KEYS[4], ARGV[7], 'cancelled')
  emit(KEYS[2], ARGV[3], 'state', ARGV[10])
  return {'cancelled'}
end

if not state then -- enqueued by a producer that keeps no records
  redis.call('HSET', KEYS[1], 'task', ARGV[12], 'queue', ARGV[13], 'created', ARGV[1])
  redis.call('ZADD', KEYS[5], 'NX', ARGV[1], ARGV[6])
end
redis.call('HSET', KEYS[1], 'state', 'running', 'updated', ARGV[1], 'attempt', attempt, 'worker', ARGV[5])
redis.call('HSETNX', KEYS[1], 'started', ARGV[1])
redis.call('HDEL', KEYS[1], 'delay_until', 'error')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
store_result(KEYS[3], ARGV[9], ARGV[2])
emit(KEYS[2], ARGV[2], 'state', ARGV[8])
if not children then return {'run', -1, 0, 0, 0} end
local ended = redis.call('HMGET', KEYS[1], 'children_succeeded', 'children_failed', 'children_cancelled')
return {'run', tonumber(children), tonumber(ended[1] or 0), tonumber(ended[2] or 0), tonumber(ended[3] or 0)}
