-- Stores the result of a task without a record, unless its message was given to another worker meanwhile.
--
-- KEYS[1] void receipts  KEYS[2] result
-- ARGV[1] receipt under which its worker held the message, or ''  ARGV[2] outcome in Celery's format
-- ARGV[3] life of the result (s), or 0 for a result that is kept for ever
-- Returns 1 | 0 if it was refused

if ARGV[1] ~= '' and redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[2], ARGV[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
end
redis.call('PUBLISH', KEYS[2], ARGV[2])
return 1
