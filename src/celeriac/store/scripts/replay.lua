-- Puts a dead letter back into its queue, as if it had never been delivered.
--
-- KEYS[1] dead letters  KEYS[2] the list it goes to  KEYS[3] result of its job, which it has not any more
-- ARGV  letter: id of the dead letter  message
-- Returns 1 | 0 if it is there no more

local letter, message = unpack(ARGV) -- fields: args

if #redis.call('XRANGE', KEYS[1], letter, letter) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], message) -- do this first: the dead letter stays if the queue is a key of another type
redis.call('DEL', KEYS[3])
redis.call('XDEL', KEYS[1], letter)
return 1
