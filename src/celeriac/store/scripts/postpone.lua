-- Gives back the message of a job that asked to be run later, and records that, in one step.
--
-- KEYS[1] what the worker holds  KEYS[2] delayed messages of the queue  KEYS[3] record  KEYS[4] events
-- ARGV  now (ms)  life of the record, beyond its delay too (ms)  receipt  due: when (ms)  failure: the reason, as an error
-- event data  records: prefix of records
-- Returns 1 | 0 if the worker does not hold it any more

local now_ms, life_ms, receipt, due_ms, failure, event, records = unpack(ARGV) -- fields: args

local entry = redis.call('HGET', KEYS[1], receipt)
if not entry then return 0 end
local cancel = redis.call('HGET', KEYS[3], 'cancel')

-- Publish first: nothing changes if the queue is a key of another type.
if cancel then -- cancelled meanwhile: the next worker that takes it ends it, without delay
  redis.call('LPUSH', split_entry(entry))
else
  delay(KEYS[2], due_ms, entry)
end
redis.call('HDEL', KEYS[1], receipt)
redis.call('HSET', KEYS[3], 'state', 'retrying', 'updated', now_ms, 'error', failure, 'delay_until', due_ms)
redis.call('HDEL', KEYS[3], 'receipt')
redis.call('PEXPIRE', KEYS[3], life_ms)
prolong_ancestors(KEYS[3], records, life_ms)
emit(KEYS[4], life_ms, 'state', event)
return 1
