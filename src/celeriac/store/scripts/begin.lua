-- A worker is about to run a job: says whether it may, and records that it does.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] parent record (or the job's own)  KEYS[5] index
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] life of a finished one (ms)
-- ARGV[4] attempt, from 1  ARGV[5] worker, for people  ARGV[6] id  ARGV[7] parent id, or ''
-- ARGV[8] event data for running  ARGV[9] Celery's outcome for running
-- ARGV[10] event data for cancelled  ARGV[11] Celery's outcome for cancelled
-- ARGV[12] task  ARGV[13] queue
-- ARGV[14] receipt under which the worker holds the message, or '' if it does not  ARGV[15] prefix of what workers hold
-- ARGV[16] lost runs after which it is given up
-- ARGV[17] error of one given up  ARGV[18] event data for it  ARGV[19] Celery's outcome for it
-- Returns {'run', number of the run, children, succeeded, failed, cancelled} (children -1 where it has not fanned out)
--       | {'stale'}      another message of the job counts: it has ended, runs elsewhere, has gone on to a later
--                        attempt, or waits for its children
--       | {'cancelled'}  it was cancelled before it began
--       | {'dead'}       it has ended its worker too often, and is given up

local known = redis.call('HMGET', KEYS[1], 'state', 'floor', 'cancel', 'children', 'open', 'receipt', 'run', 'started',
  'delay_until', 'error')
local state, floor, cancel, children, open, receipt, run, started, delay_until, failure = unpack(known)
local attempt = tonumber(ARGV[4])

local function is_held(name)
  local worker = string.match(name, '^(.*)/%d+$')
  return worker and redis.call('HEXISTS', ARGV[15] .. worker, name) == 1
end

local function finish(outcome, event, meta)
  redis.call('HSET', KEYS[1], 'state', outcome, 'updated', ARGV[1], 'finished', ARGV[1])
  redis.call('HDEL', KEYS[1], 'receipt')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  store_result(KEYS[3], meta, ARGV[3])
  settle_parent(KEYS[1], KEYS[4], ARGV[7], outcome)
  emit(KEYS[2], ARGV[3], 'state', event)
  return {outcome}
end

if state == 'cancelled' then return {'cancelled'} end
if state == 'succeeded' or state == 'failed' or state == 'dead' then return {'stale'} end
if floor and attempt < tonumber(floor) then return {'stale'} end
if open and tonumber(open) > 0 then return {'stale'} end
-- The message was given to another worker while it waited in this one.
if ARGV[14] ~= '' and not is_held(ARGV[14]) then return {'stale'} end
-- The job runs from another message, in a worker that lives.
if receipt and receipt ~= ARGV[14] and is_held(receipt) then return {'stale'} end

if not cancel and ARGV[7] ~= '' and redis.call('HGET', KEYS[1], 'parent') == ARGV[7] then
  cancel = redis.call('HGET', KEYS[4], 'state') == 'cancelled'
end
if cancel then return finish('cancelled', ARGV[10], ARGV[11]) end

-- It was running, and that run has neither ended nor is it going on.
if state == 'running' and receipt then
  if redis.call('HINCRBY', KEYS[1], 'lost', 1) >= tonumber(ARGV[16]) then
    redis.call('HSET', KEYS[1], 'error', ARGV[17])
    return finish('dead', ARGV[18], ARGV[19])
  end
end

if not state then -- enqueued by a producer that keeps no records
  redis.call('HSET', KEYS[1], 'task', ARGV[12], 'queue', ARGV[13], 'created', ARGV[1])
  add_to_index(KEYS[5], ARGV[6], ARGV[1], ARGV[2])
end
run = (tonumber(run) or 0) + 1
redis.call('HSET', KEYS[1], 'state', 'running', 'updated', ARGV[1], 'attempt', attempt, 'floor', attempt,
  'worker', ARGV[5], 'run', run, 'started', started or ARGV[1], 'receipt', ARGV[14])
if ARGV[14] == '' then redis.call('HDEL', KEYS[1], 'receipt') end
if delay_until or failure then redis.call('HDEL', KEYS[1], 'delay_until', 'error') end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
store_result(KEYS[3], ARGV[9], ARGV[2])
emit(KEYS[2], ARGV[2], 'state', ARGV[8])
if not children then return {'run', run, -1, 0, 0, 0} end
local ended = redis.call('HMGET', KEYS[1], 'children_succeeded', 'children_failed', 'children_cancelled')
return {'run', run, tonumber(children), tonumber(ended[1] or 0), tonumber(ended[2] or 0), tonumber(ended[3] or 0)}
