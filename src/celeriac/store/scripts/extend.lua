-- Renews the leases of workers for them, except a lease that has run out and was removed. Only the worker itself may
-- begin a new one, since it must learn of the loss.
--
-- KEYS[1] leases
-- ARGV  lease (ms)  then workers
-- Returns 1

local lease_ms = unpack(ARGV, 1, WIDTH.args) -- fields: args

local until_ms = server_time() + lease_ms
for i = WIDTH.args + 1, #ARGV do redis.call('ZADD', KEYS[1], 'XX', 'GT', until_ms, ARGV[i]) end
return 1
