-- Makes dead letters of messages that an earlier version kept apart: it kept a thousand at most.
--
-- KEYS[1] list of unreadable messages  KEYS[2] dead letters
-- ARGV[1] cause
-- Returns how many there were

local messages = redis.call('RPOP', KEYS[1], 1000) or {}
for _, message in ipairs(messages) do
  redis.call('XADD', KEYS[2], '*', 'list', '', 'message', message, 'cause', ARGV[1])
end
return #messages
