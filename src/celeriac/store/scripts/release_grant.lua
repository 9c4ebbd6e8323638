-- Gives back the slots of a grant, and the units of it that were not used.
--
-- KEYS[1] grant  then per limit: its bucket, and its slots; see admit.lua
-- ARGV  id of the grant  unused: units to give back
-- Returns 1 | 0 if the grant has run out or was given back before

local id, unused = unpack(ARGV) -- fields: args

local known = redis.call('GET', KEYS[1])
if not known then return 0 end
local units, day = string.match(known, '^(%d+) (%d+)$')
unused = math.min(tonumber(unused), tonumber(units))
for i = 2, #KEYS, 2 do
  redis.call('ZREM', KEYS[i + 1], id)
  local bucket = KEYS[i]
  local tokens, its_day, used = unpack(redis.call('HMGET', bucket, 'tokens', 'day', 'used'))
  if tokens and unused > 0 then redis.call('HSET', bucket, 'tokens', string.format('%.9f', tokens + unused)) end
  if used and its_day == day and unused > 0 then redis.call('HSET', bucket, 'used', math.max(0, used - unused)) end
end
redis.call('DEL', KEYS[1])
return 1
