-- Gives back a message that a worker holds and does not run.
--
-- KEYS[1] what the worker holds  KEYS[2] delayed messages of the queue
-- ARGV  receipt  place: 'first' or 'last' in its queue, or 'later'  due: if later, when (ms)
-- losses: if last, '1' if the process that ran it was lost  mark: if later, that of a task over its rate limit, or ''
-- now (ms)  records: prefix of records, if its job began with its taking and has not run, else ''
-- Returns 1 | 0 if the worker does not hold it any more

local receipt, place, due_ms, losses, mark, now_ms, records = unpack(ARGV) -- fields: args

local entry = redis.call('HGET', KEYS[1], receipt)
if not entry then return 0 end
local list, message = split_entry(entry)
if place == 'later' then
  delay(KEYS[2], due_ms, mark == '' and entry or join_entry(list, limited(message, mark)))
elseif place == 'first' then
  redis.call('RPUSH', list, message)
else
  redis.call('LPUSH', list, redelivered(message, tonumber(losses)))
end
local record = records ~= '' and records .. (task_of(message) or '')
if record and redis.call('HGET', record, 'receipt') == receipt then
  redis.call('HSET', record, 'state', 'queued', 'updated', now_ms)
  redis.call('HDEL', record, 'run', 'started', 'worker', 'receipt')
end
redis.call('HDEL', KEYS[1], receipt) -- do this last: the message stays held if its queue is a key of another type
return 1
