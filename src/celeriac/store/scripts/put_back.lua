-- Gives back a message that a worker holds and does not run.
--
-- KEYS[1] what the worker holds  KEYS[2] delayed messages of the queue
-- ARGV[1] receipt  ARGV[2] 'first' or 'last' in its queue, or 'later'  ARGV[3] if later: when it is due (ms)
-- ARGV[4] if last: '1' if the process that ran it was lost; if later: the mark of a task over its rate limit, or ''
-- Returns 1 | 0 if the worker does not hold it any more

local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local list, message = split_entry(entry)
if ARGV[2] == 'later' then
  delay(KEYS[2], ARGV[3], ARGV[4] == '' and entry or join_entry(list, limited(message, ARGV[4])))
elseif ARGV[2] == 'first' then
  redis.call('RPUSH', list, message)
else
  redis.call('LPUSH', list, redelivered(message, tonumber(ARGV[4])))
end
redis.call('HDEL', KEYS[1], ARGV[1]) -- last: it stays held if its queue is a key of another type
return 1
