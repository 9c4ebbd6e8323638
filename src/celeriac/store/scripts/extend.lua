-- Renews the leases of workers for them. One that has run out and was given up is not begun anew: only the worker itself
-- may do that, who has to learn of it.
--
-- KEYS[1] leases
-- ARGV[1] lease (ms)  ARGV[2...] workers
-- Returns 1

local until_ms = server_time() + ARGV[1]
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', 'GT', until_ms, ARGV[i]) end
return 1
