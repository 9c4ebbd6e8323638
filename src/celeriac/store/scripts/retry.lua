-- Publishes a job's next attempt, and records that it is retrying, in one step.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] the list the message goes to  KEYS[5] delayed of the queue
-- ARGV  now (ms)  life of the record, beyond its delay too (ms)  attempt: the attempt that failed  next_attempt: the next one,
-- or the same one again  reported_run: its run, or ''
-- message  due: when it is due (ms), or ''  failure: error  event data  outcome: Celery's outcome
-- records: prefix of records
-- Returns 'published' | 'repeated'    it had been published already
--       | 'superseded'  another run of the job counts by now
--       | 'waiting'     it has fanned out without having heard of it, and is run again after its children
--       | the state of a job that has ended

local now_ms, life_ms, attempt, next_attempt, reported_run, message, due_ms, failure, event, outcome, records = unpack(ARGV) -- fields: args

local known = redis.call('HMGET', KEYS[1], 'state', 'run', 'floor', 'cancel', 'open')
local state, run, floor, cancel, open = unpack(known)
if state == 'succeeded' or state == 'failed' or state == 'dead' or state == 'cancelled' then return state end
if reported_run ~= '' and run ~= reported_run then return 'superseded' end
if open and tonumber(open) > 0 then return 'waiting' end
if floor and tonumber(floor) > tonumber(attempt) then return 'repeated' end
if attempt == next_attempt and run == reported_run and state == 'retrying' then return 'repeated' end

-- Publish first: nothing changes if the queue is a key of another type.
if due_ms == '' then
  redis.call('LPUSH', KEYS[4], message)
elseif cancel then -- meanwhile: the next worker that takes it ends it, without waiting for the time that it names
  redis.call('LPUSH', KEYS[4], (string.gsub(message, '"eta": "[^"]*"', '"eta": null', 1)))
else
  delay(KEYS[5], due_ms, join_entry(KEYS[4], message))
  redis.call('HSET', KEYS[1], 'delay_until', due_ms)
end
redis.call('HSET', KEYS[1], 'state', 'retrying', 'updated', now_ms, 'floor', next_attempt, 'error', failure)
redis.call('HDEL', KEYS[1], 'receipt')
redis.call('PEXPIRE', KEYS[1], life_ms)
prolong_ancestors(KEYS[1], records, life_ms)
store_result(KEYS[3], outcome, life_ms)
emit(KEYS[2], life_ms, 'state', event)
return 'published'
