-- Holds a grant and its slots for longer, from now on.
--
-- KEYS[1] grant  then per limit with slots: them; see admit.lua
-- ARGV  id of the grant  hold_ms: how long it holds (ms)
-- Returns 1 | 0 if it has run out, and others may have its slots

local id, hold_ms = unpack(ARGV) -- fields: args

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #KEYS do
  if not redis.call('ZSCORE', KEYS[i], id) then return 0 end
end
local until_ms = server_time() + hold_ms
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], 'GT', until_ms, id)
  redis.call('PEXPIRE', KEYS[i], math.max(tonumber(hold_ms), redis.call('PTTL', KEYS[i])))
end
redis.call('PEXPIRE', KEYS[1], hold_ms, 'GT')
return 1
