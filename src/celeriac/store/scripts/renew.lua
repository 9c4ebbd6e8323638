-- Renews a worker's lease on all that it holds.
--
-- KEYS[1] leases
-- ARGV[1] worker  ARGV[2] lease (ms)
-- Returns 1 | 0 if the lease had run out and what the worker held was given to others

local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], server_time() + ARGV[2], ARGV[1])
return held and 1 or 0
