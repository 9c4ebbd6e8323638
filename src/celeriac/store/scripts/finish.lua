-- Ends the delivery of messages: publishes what follows from each, stores what came of it and acknowledges it, or gives it
-- back to be run again, in one step.
-- What came of a message that was given to another worker meanwhile is refused: that worker's run counts.
--
-- KEYS[1] what the worker holds  KEYS[2] index
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] prefix of records  ARGV[4] of events  ARGV[5] of results
-- ARGV[6] '' if the messages are done with; else they go back to their queues, with so many more losses
-- per message, from ARGV[7] on: receipt or '' if the worker holds none, number of publications,
--   'record', 'result' or '': how its outcome is kept;
--   then per publication: the list it goes to, message, the delayed messages of its queue, when it is due (ms) or ''
--   then for 'record': how the job of its task ends, as `transition.lua` takes it
--   or for 'result': its key, the outcome in Celery's format, its life (ms; 0 for ever)
-- Returns receipt, reason, ... of those of which not all was done: reason is '' where the worker held the message no more,
--   else the error that kept its outcome from being stored

local shared = {ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], KEYS[2]}
local losses = tonumber(ARGV[6])

local function publish(list, message, delayed, due)
  if due == '' then
    redis.call('LPUSH', list, message)
  else
    delay(delayed, due, join_entry(list, message))
  end
end

local refused = {}
local function refuse(receipt, reason)
  refused[#refused + 1] = receipt
  refused[#refused + 1] = reason
end

-- A key of another type, say: it is acknowledged all the same, for it would fail again.
local function try(receipt, keep, ...)
  local done, reason = pcall(keep, ...)
  if not done then refuse(receipt, type(reason) == 'table' and reason.err or tostring(reason)) end
end

local function give_back(receipt)
  local entry = redis.call('HGET', KEYS[1], receipt)
  if not entry then return false end
  redis.call('HDEL', KEYS[1], receipt)
  local list, message = split_entry(entry)
  redis.call('LPUSH', list, redelivered(message, losses))
  return true
end

local function let_go(receipt)
  if losses then return give_back(receipt) end
  return redis.call('HDEL', KEYS[1], receipt) == 1
end

local at = 7
while at <= #ARGV do
  local receipt, publications, kept = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  at = at + 3
  local is_held = receipt == '' or let_go(receipt)
  if not is_held then refuse(receipt, '') end
  for _ = 1, publications do
    if is_held then publish(unpack(ARGV, at, at + 3)) end
    at = at + 4
  end
  if kept == 'record' then
    if is_held then try(receipt, move, shared, unpack(ARGV, at, at + 11)) end
    at = at + 12
  elseif kept == 'result' then
    if is_held then try(receipt, keep_result, unpack(ARGV, at, at + 2)) end
    at = at + 3
  end
end
return refused
