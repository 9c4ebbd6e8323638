-- Publishes a message that is due later.
--
-- KEYS[1] delayed messages of the queue
-- ARGV  list: the list it goes to  message  due: when it is due (ms)
-- Returns 1 | 0 if it was there already

local list, message, due_ms = unpack(ARGV) -- fields: args

return delay(KEYS[1], due_ms, join_entry(list, message))
