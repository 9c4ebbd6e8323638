-- Renews the leases of workers for them. One that has run out and was given up is not begun anew: only the worker itself
-- may do that, who has to learn of it.
--
-- KEYS[1] leases
-- ARGV  lease (ms)  then workers
-- Returns 1

local lease = unpack(ARGV, 1, WIDTH.args) -- fields: args

local until_ms = server_time() + lease
for i = WIDTH.args + 1, #ARGV do redis.call('ZADD', KEYS[1], 'XX', 'GT', until_ms, ARGV[i]) end
return 1
