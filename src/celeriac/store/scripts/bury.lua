-- Puts a message aside that a worker holds and cannot read.
--
-- KEYS[1] what the worker holds  KEYS[2] list of unreadable messages
-- ARGV[1] receipt  ARGV[2] how many are kept
-- Returns 1 | 0 if the worker does not hold it any more

local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local _, message = split_entry(entry)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[2], message)
redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1)
return 1
