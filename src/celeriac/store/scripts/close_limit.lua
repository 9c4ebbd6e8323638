-- Has limits grant nothing for a while. Of two such times the later one counts.
--
-- KEYS[1] the bucket of a limit  then per further limit: its bucket; see admit.lua
-- ARGV  closed_ms: for how long (ms)
-- Returns 1

local closed_ms = unpack(ARGV) -- fields: args

local until_ms = server_time() + closed_ms
for _, bucket in ipairs(KEYS) do
  local before = tonumber(redis.call('HGET', bucket, 'closed')) or 0
  redis.call('HSET', bucket, 'closed', string.format('%.0f', math.max(before, until_ms)))
  redis.call('PEXPIRE', bucket, math.max(closed_ms + 1000, redis.call('PTTL', bucket)))
end
return 1
