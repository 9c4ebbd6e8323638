-- Remembers which tasks have been revoked.
--
-- KEYS[1] revoked tasks by that time (ms)
-- ARGV  life: for how long they are remembered (ms)  most: how many at most  then ids
-- Returns 1

local life_ms, most = unpack(ARGV, 1, WIDTH.args) -- fields: args

local now_ms = server_time()
for i = WIDTH.args + 1, #ARGV do
  redis.call('ZADD', KEYS[1], now_ms, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - life_ms)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -most - 1)
redis.call('PEXPIRE', KEYS[1], life_ms)
return 1
