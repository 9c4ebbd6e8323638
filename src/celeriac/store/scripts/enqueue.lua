-- Accepts jobs: record, index entry and message of each, all or none.
--
-- KEYS[1] index        sorted set of job ids by creation time
-- KEYS[2] idempotency  string `<fingerprint>:<job id>`, or the index where no key was given
-- KEYS[3] parent       record of the job that fans out, or the index where none does
-- then per kind of job: queue list, delayed messages of the queue
-- ARGV  now (ms)  life (of an entry of the index, and of a record beyond its delay, ms)
-- records: prefix of records  events: prefix of events
-- scheduled_event: event data for scheduled (that a job is queued goes without saying)
-- request: '', or what is asked for besides, as JSON: idempotency: {fingerprint, life_ms},
--         call: what tells this call from another for the same id, which the record keeps,
--         fan_out: {run (of the parent), resume_queue (the list that the next goes to)}
-- resume: the message that runs the parent again, or ''
-- kind_count: number of kinds
-- then per kind: when it is due (ms) or '', number of what follows, fields of a record but for its times and
--         arguments (name, value, ...); then per job: number of its kind from 1, id, arguments, message
-- Returns {'accepted', ''} | {'conflict', job id} | {'refused', state of the parent}
--       | {'repeated', job id, field of that job's record, value, ...}
--       | {'exists', job id}  the id was given to another job

local now_ms, life_ms, records, events, scheduled_event, request, resume, kind_count
  = unpack(ARGV, 1, WIDTH.args) -- fields: args

local idempotency, fan_out, call
if request ~= '' then
  local asked = cjson.decode(request)
  idempotency, fan_out, call = asked.idempotency, asked.fan_out, asked.call
end

local kinds, first = {}, WIDTH.args + 1
for number = 1, tonumber(kind_count) do
  local due_ms, field_count = unpack(ARGV, first, first + WIDTH.kind - 1) -- fields: kind
  local last = first + WIDTH.kind - 1 + field_count
  due_ms = tonumber(due_ms)
  kinds[number] = {
    list = KEYS[2 + 2 * number],
    delayed = KEYS[3 + 2 * number],
    due_ms = due_ms,
    life_ms = life_ms + math.max(0, (due_ms or 0) - now_ms),
    record = {'HSET', 'key', 'arguments', 'value', 'created', now_ms, unpack(ARGV, first + WIDTH.kind, last)},
  }
  if fan_out then table.insert(kinds[number].record, 'parent_run'); table.insert(kinds[number].record, fan_out.run) end
  first = last + 1
end
local count = (#ARGV - first + 1) / WIDTH.job

if idempotency then
  local known = redis.call('GET', KEYS[2])
  if known then
    local fingerprint, id = string.match(known, '^(%x+):(.+)$')
    if fingerprint ~= idempotency.fingerprint then return {'conflict', id} end
    return {'repeated', id, unpack(redis.call('HGETALL', records .. id))}
  end
end
if count == 1 then
  local number, id, arguments, message = unpack(ARGV, first, first + WIDTH.job - 1) -- fields: job
  local created, known, by = unpack(redis.call('HMGET', records .. id, 'created', 'arguments', 'call'))
  -- If the first reply was lost, this is the second call, and the record is that of the first.
  local is_repeated = created == now_ms and known == arguments
  if call then is_repeated = by == call end
  if created then return is_repeated and {'accepted', ''} or {'exists', id} end
end
if fan_out then
  local state, run, cancel = unpack(redis.call('HMGET', KEYS[3], 'state', 'run', 'cancel'))
  if state ~= 'running' or run ~= fan_out.run or cancel then return {'refused', state or ''} end
  -- The job was delivered again after it had fanned out: the children exist already.
  if redis.call('HEXISTS', KEYS[3], 'children') == 1 then return {'accepted', ''} end
  redis.call('HSET', KEYS[3], 'children', count, 'open', count, 'fan_out', run,
    'resume', resume, 'resume_queue', fan_out.resume_queue)
  redis.call('HDEL', KEYS[3], 'receipt') -- its run ends here, in good order
  redis.call('PEXPIRE', KEYS[3], life_ms, 'GT')
end

local index, messages = {}, {}
for at = first, #ARGV, WIDTH.job do
  local number, id, arguments, message = unpack(ARGV, at, at + WIDTH.job - 1) -- fields: job
  local kind = kinds[tonumber(number)]
  local record = records .. id
  if count == 1 or redis.call('EXISTS', record) == 0 then
    kind.record[2], kind.record[4] = record, arguments
    redis.call(unpack(kind.record))
    if call then redis.call('HSET', record, 'call', call) end
    redis.call('PEXPIRE', record, kind.life_ms)
    index[#index + 1], index[#index + 2] = now_ms, id
    if kind.due_ms then
      delay(kind.delayed, kind.due_ms, join_entry(kind.list, message))
      emit(events .. id, kind.life_ms, 'state', scheduled_event)
    else
      local list = messages[kind.list] or {}
      messages[kind.list], list[#list + 1] = list, message
    end
    if idempotency then
      redis.call('SET', KEYS[2], idempotency.fingerprint .. ':' .. id, 'PX', idempotency.life_ms)
    end
  end
end

-- Adds `values` to `key`, some thousand with one command, since Lua can unpack no more at once.
local function add(command, key, values)
  for from = 1, #values, 4000 do
    redis.call(command, key, unpack(values, from, math.min(from + 3999, #values)))
  end
end

for list, values in pairs(messages) do add('LPUSH', list, values) end
add('ZADD', KEYS[1], index)
trim_index(KEYS[1], now_ms, life_ms)
return {'accepted', ''}
