-- Moves a message that a worker holds to the dead letters, and ends its job with it, if that runs from this message.
--
-- KEYS[1] what the worker holds  KEYS[2] dead letters  KEYS[3] index
-- ARGV[1] receipt  ARGV[2] cause  ARGV[3] 'record', 'result' or '': how the end of its task is kept
-- then for 'record': ARGV[4] now (ms)  ARGV[5] life of an open record (ms)  ARGV[6] prefix of records  ARGV[7] of events
--   ARGV[8] of results  ARGV[9...] how the job ends, as `transition.lua` takes it
-- or for 'result': ARGV[4] its key  ARGV[5] the outcome in Celery's format  ARGV[6] its life (ms; 0 for ever)
-- Returns 1 | 0 if the worker does not hold it any more
--       | why the end could not be kept: it is a dead letter all the same

local function keep_end()
  if ARGV[3] == 'result' then return store_plain_result(ARGV[4], ARGV[5], ARGV[6]) end
  local shared, id = {ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], KEYS[3]}, ARGV[9]
  if redis.call('HGET', ARGV[6] .. id, 'receipt') == ARGV[1] then move(shared, unpack(ARGV, 9)) end
end

local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local list, message = split_entry(entry)
redis.call('XADD', KEYS[2], '*', 'list', list, 'message', message, 'cause', ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then
  local done, reason = pcall(keep_end)
  if not done then return type(reason) == 'table' and reason.err or tostring(reason) end
end
return 1
