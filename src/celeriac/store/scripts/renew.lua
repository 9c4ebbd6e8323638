-- Renews a worker's lease on all that it holds.
--
-- KEYS[1] leases
-- ARGV  worker  lease (ms)
-- Returns 1 | 0 if the lease had run out and what the worker held was given to others

local worker, lease_ms = unpack(ARGV) -- fields: args

local held = redis.call('ZSCORE', KEYS[1], worker)
redis.call('ZADD', KEYS[1], server_time() + lease_ms, worker)
return held and 1 or 0
