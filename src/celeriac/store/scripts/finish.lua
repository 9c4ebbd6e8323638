-- Ends the delivery of messages in one step: for each, publishes the messages that follow, stores its outcome, and
-- acknowledges it or gives it back to be run again.
-- Refuses the outcome of a message that another worker has got meanwhile: that worker's run counts.
--
-- KEYS[1] what the worker holds  KEYS[2] index
-- ARGV  now (ms)  open_life_ms: life of an open record (ms)  records: prefix of records  events: of events  results: of results
-- losses: '' if the messages are done with; else they go back to their queues, with so many more losses
-- then per message: receipt or '' if the worker holds none, number of publications,
--   'record', 'result' or '': how its outcome is stored;
--   then per publication: the list it goes to, message, the delayed messages of its queue, when it is due (ms) or ''
--   then for 'record': how the job of its task ends: the fields of `change` in _lib.lua
--   or for 'result': its key, the outcome in Celery's format, its life (ms; 0 for ever)
-- Returns receipt, reason, ... of those of which not all was done: reason is '' where the worker held the message no more,
--   else the error that kept it from being written; unless its outcome was written in part, the worker holds it still

local now_ms, open_life_ms, records, events, results, losses = unpack(ARGV, 1, WIDTH.args) -- fields: args

local shared = {now_ms, open_life_ms, records, events, results, KEYS[2]}
losses = tonumber(losses)

local function publish(list, message, delayed, due_ms) -- fields: publication
  if due_ms == '' then
    redis.call('LPUSH', list, message)
  else
    delay(delayed, due_ms, join_entry(list, message))
  end
end

-- Undoes `publish` in the same step: a message that was just pushed is the first from the left.
local function unpublish(list, message, delayed, due_ms) -- fields: publication
  if due_ms == '' then
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

-- Publishes all or none. Returns the error if none.
local function publish_all(from, count)
  for at = from, from + WIDTH.publication * (count - 1), WIDTH.publication do
    local done, fault = pcall(publish, unpack(ARGV, at, at + WIDTH.publication - 1))
    if not done then
      for before = from, at - 1, WIDTH.publication do
        unpublish(unpack(ARGV, before, before + WIDTH.publication - 1))
      end
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

-- The outcome begins at ARGV[at], the publications at ARGV[from]. Do all that may fail before releasing the message: a key
-- of another type shows when the record is read, or in publishing.
local function finish(receipt, publications, kind, from, at)
  local known = kind == 'record' and redis.pcall('HMGET', records .. ARGV[at], 'state', 'run')
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
  elseif kind ~= '' then
    local done, reason
    if known then
      done, reason = pcall(change, shared, known, unpack(ARGV, at, at + WIDTH.transition - 1))
    else
      done, reason = pcall(store_plain_result, unpack(ARGV, at, at + WIDTH.plain_result - 1))
    end
    if not done then refuse(receipt, text_of(reason)) end
  end
end

local widths = {record = WIDTH.transition, result = WIDTH.plain_result, [''] = 0}
local at = WIDTH.args + 1
while at <= #ARGV do
  local receipt, publications, kind = unpack(ARGV, at, at + WIDTH.ending - 1) -- fields: ending
  local from = at + WIDTH.ending
  at = from + WIDTH.publication * publications
  finish(receipt, tonumber(publications), kind, from, at)
  at = at + widths[kind]
end
return refused
