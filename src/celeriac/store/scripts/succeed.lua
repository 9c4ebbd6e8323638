-- Ends jobs that have succeeded in their first run, which began with their taking, and acknowledges their messages.
-- It does for most jobs, with fewer commands, what `finish.lua` does for all.
--
-- KEYS[1] what the worker holds  KEYS[2] void receipts  KEYS[3] crowd
-- ARGV  records: prefix of records  events: of events  results: of results
-- then per job: receipt, id, Celery's outcome or '', life of its record and outcome from here on (ms)
-- Returns receipt, reason, ... of those of which not all was done: reason is '' where the worker held the message no more,
--   else the error that kept it from being written

local records, events, results = unpack(ARGV, 1, WIDTH.args) -- fields: args

local now_ms = server_time()
local receipts = {}
for at = WIDTH.args + 1, #ARGV, WIDTH.job do receipts[#receipts + 1] = ARGV[at] end
local were_all_held = redis.call('HDEL', KEYS[1], unpack(receipts)) == #receipts

local tell_result, tell_event = publisher(KEYS[3], results), publisher(KEYS[3], events)

-- Returns whether the message was this worker's until now, although others of the call were not.
local function was_held(receipt, record)
  return not redis.call('ZSCORE', KEYS[2], receipt) and redis.call('HGET', record, 'receipt') == receipt
end

local function succeed(receipt, id, outcome, life_ms) -- fields: job
  local record, result = records .. id, results .. id
  if not were_all_held and not was_held(receipt, record) then return {receipt, ''} end
  redis.call('HSET', record, 'state', 'succeeded', 'finished', now_ms, 'receipt', '')
  redis.call('PEXPIRE', record, life_ms)
  if outcome ~= '' then
    redis.call('SET', result, outcome, 'PX', life_ms)
    tell_result(result, outcome)
  end
  tell_event(events .. id, 'state')
end

local refused = {}
for at = WIDTH.args + 1, #ARGV, WIDTH.job do
  local done, fault = pcall(succeed, unpack(ARGV, at, at + WIDTH.job - 1))
  if not done then fault = {ARGV[at], type(fault) == 'table' and fault.err or tostring(fault)} end
  if fault then
    refused[#refused + 1] = fault[1]
    refused[#refused + 1] = fault[2]
  end
end
return refused
