-- Makes dead letters of messages that an earlier version kept apart: it kept a thousand at most.
--
-- KEYS[1] list of unreadable messages  KEYS[2] dead letters
-- ARGV  cause
-- Returns how many there were

local cause = unpack(ARGV) -- fields: args

local messages = redis.call('LRANGE', KEYS[1], -1000, -1)
for at = #messages, 1, -1 do
  redis.call('XADD', KEYS[2], '*', 'list', '', 'message', messages[at], 'cause', cause)
end
redis.call('LTRIM', KEYS[1], 0, -#messages - 1)
return #messages
