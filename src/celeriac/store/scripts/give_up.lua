-- Moves a message that a worker holds to the dead letters, and ends its job if it runs from this message.
--
-- KEYS[1] what the worker holds  KEYS[2] dead letters  KEYS[3] index
-- ARGV  receipt  cause  kind: 'record', 'result' or '': how the end of its task is stored
-- then for 'record': now (ms), life of an open record (ms), prefixes of records, events and results; how the job ends: the
--   fields of `change` in _lib.lua
-- or for 'result': its key, the outcome in Celery's format, its life (ms; 0 for ever)
-- Returns 1 | 0 if the worker does not hold it any more
--       | why the end could not be kept: it is a dead letter all the same

local receipt, cause, kind = unpack(ARGV, 1, WIDTH.args) -- fields: args

local function keep_end()
  local from = WIDTH.args + 1
  if kind == 'result' then return store_plain_result(unpack(ARGV, from)) end
  local now_ms, open_life_ms, records, events, results = unpack(ARGV, from, from + WIDTH.shared - 1) -- fields: shared
  local shared, id = {now_ms, open_life_ms, records, events, results, KEYS[3]}, ARGV[from + WIDTH.shared]
  if redis.call('HGET', records .. id, 'receipt') == receipt then move(shared, unpack(ARGV, from + WIDTH.shared)) end
end

local entry = redis.call('HGET', KEYS[1], receipt)
if not entry then return 0 end
local list, message = split_entry(entry)
redis.call('XADD', KEYS[2], '*', 'list', list, 'message', message, 'cause', cause)
redis.call('HDEL', KEYS[1], receipt)
if kind ~= '' then
  local done, reason = pcall(keep_end)
  if not done then return type(reason) == 'table' and reason.err or tostring(reason) end
end
return 1
