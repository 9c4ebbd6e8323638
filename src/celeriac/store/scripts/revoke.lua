-- Remembers which tasks have been revoked.
--
-- KEYS[1] revoked tasks by that time (ms)
-- ARGV  life: for how long they are remembered (ms)  most: how many at most  then ids
-- Returns 1

local life, most = unpack(ARGV, 1, WIDTH.args) -- fields: args

local now = server_time()
for i = WIDTH.args + 1, #ARGV do
  redis.call('ZADD', KEYS[1], now, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - life)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -most - 1)
redis.call('PEXPIRE', KEYS[1], life)
return 1
