-- Says for how long limits still grant nothing, and ends that time if the caller asks for it.
--
-- KEYS[1] the bucket of a limit  then per further limit: its bucket; see admit.lua
-- ARGV  reopens: 1 to have them grant again, else 0
-- Returns the rest of each limit's time (ms), as it was before; 0 if it is open

local reopens = unpack(ARGV) -- fields: args

local now_ms, left_ms = server_time(), {}
for number, bucket in ipairs(KEYS) do
  local closed = tonumber(redis.call('HGET', bucket, 'closed')) or 0
  left_ms[number] = math.max(0, math.ceil(closed - now_ms))
  if reopens == '1' then redis.call('HDEL', bucket, 'closed') end
end
return left_ms
