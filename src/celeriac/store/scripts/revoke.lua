-- Remembers which tasks have been revoked.
--
-- KEYS[1] revoked tasks by that time (ms)
-- ARGV[1] for how long they are remembered (ms)  ARGV[2] how many at most  ARGV[3...] ids
-- Returns 1

local now = server_time()
for i = 3, #ARGV do
  redis.call('ZADD', KEYS[1], now, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[2] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
