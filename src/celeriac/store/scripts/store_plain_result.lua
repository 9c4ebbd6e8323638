-- Stores the result of a task without a record, unless its message was given to another worker meanwhile.
--
-- KEYS[1] void receipts  KEYS[2] result
-- ARGV  receipt under which its worker held the message, or ''  outcome in Celery's format
-- life of the result (s), or 0 for a result that is kept for ever
-- Returns 1 | 0 if it was refused

local receipt, outcome, life_s = unpack(ARGV) -- fields: args

if receipt ~= '' and redis.call('ZSCORE', KEYS[1], receipt) then return 0 end
if life_s == '0' then
  redis.call('SET', KEYS[2], outcome)
else
  redis.call('SET', KEYS[2], outcome, 'EX', life_s)
end
redis.call('PUBLISH', KEYS[2], outcome)
return 1
