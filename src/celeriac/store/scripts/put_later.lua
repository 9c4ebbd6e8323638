-- Publishes a message that is due later.
--
-- KEYS[1] delayed messages of the queue
-- ARGV[1] the list it goes to  ARGV[2] message  ARGV[3] when it is due (ms)
-- Returns 1 | 0 if it was there already

return delay(KEYS[1], ARGV[3], join_entry(ARGV[1], ARGV[2]))
