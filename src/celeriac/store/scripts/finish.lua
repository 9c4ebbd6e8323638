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
--   else the error that kept it from being written; unless its outcome was written in part, the worker holds it still

local shared = {ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], KEYS[2]}
local losses = tonumber(ARGV[6])

local function publish(list, message, delayed, due)
  if due == '' then
    redis.call('LPUSH', list, message)
  else
    delay(delayed, due, join_entry(list, message))
  end
end

-- Takes that back, in the same step: a message that was just pushed is the first from the left.
local function unpublish(list, message, delayed, due)
  if due == '' then
    redis.call('LREM', list, 1, message)
  else
    redis.call('ZREM', delayed, join_entry(list, message))
  end
end

local refused = {}
local function refuse(receipt, reason)
  refused[#refused + 1] = receipt
  refused[#refused + 1] = reason
end

local function text_of(fault)
  return type(fault) == 'table' and fault.err or tostring(fault)
end

-- All or none; returns why none.
local function publish_all(from, count)
  for at = from, from + 4 * (count - 1), 4 do
    local done, fault = pcall(publish, unpack(ARGV, at, at + 3))
    if not done then
      for before = from, at - 4, 4 do unpublish(unpack(ARGV, before, before + 3)) end
      return text_of(fault)
    end
  end
end

local function let_go(receipt)
  if receipt == '' then return true end
  if not losses then return redis.call('HDEL', KEYS[1], receipt) == 1 end
  local entry = redis.call('HGET', KEYS[1], receipt)
  if not entry then return false end
  local list, message = split_entry(entry)
  redis.call('LPUSH', list, redelivered(message, losses))
  return redis.call('HDEL', KEYS[1], receipt) == 1
end

-- The outcome begins at ARGV[at], the publications at ARGV[from]. What may fail comes before the message is let go: a key
-- of another type is found when the record is looked at, or in publishing.
local function finish(receipt, publications, kept, from, at)
  local known = kept == 'record' and redis.pcall('HMGET', ARGV[3] .. ARGV[at], 'state', 'run')
  local fault = known and known.err
  if publications > 0 and not fault then
    if receipt ~= '' and redis.call('HEXISTS', KEYS[1], receipt) == 0 then return refuse(receipt, '') end
    fault = publish_all(from, publications)
  end
  if fault then
    refuse(receipt, fault)
    if losses then let_go(receipt) end
  elseif not let_go(receipt) then
    refuse(receipt, '')
  elseif kept ~= '' then
    local done, reason
    if known then
      done, reason = pcall(change, shared, known, unpack(ARGV, at, at + 11))
    else
      done, reason = pcall(store_plain_result, unpack(ARGV, at, at + 2))
    end
    if not done then refuse(receipt, text_of(reason)) end
  end
end

local widths = {record = 12, result = 3, [''] = 0}
local at = 7
while at <= #ARGV do
  local publications, kept = tonumber(ARGV[at + 1]), ARGV[at + 2]
  local outcome = at + 3 + 4 * publications
  finish(ARGV[at], publications, kept, at + 3, outcome)
  at = outcome + widths[kept]
end
return refused
