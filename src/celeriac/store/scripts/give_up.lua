-- Moves a message that a worker holds to the dead letters.
--
-- KEYS[1] what the worker holds  KEYS[2] dead letters
-- ARGV[1] receipt  ARGV[2] cause
-- Returns 1 | 0 if the worker does not hold it any more

local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local list, message = split_entry(entry)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('XADD', KEYS[2], '*', 'list', list, 'message', message, 'cause', ARGV[2])
return 1
