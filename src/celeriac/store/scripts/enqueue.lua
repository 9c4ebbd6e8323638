-- Accepts jobs: record, index entry and message of each, all or none.
--
-- KEYS[1] index        sorted set of job ids by creation time
-- KEYS[2] idempotency  string `<fingerprint>:<job id>`, or the index where no key was given
-- KEYS[3] parent       record of the job that fans out, or the index where none does
-- KEYS[4 + 4i] record, KEYS[5 + 4i] events, KEYS[6 + 4i] queue list, KEYS[7 + 4i] delayed messages of the queue
--             of job i, from 0
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] life of an entry of the index (ms)
-- ARGV[4] fingerprint of the request, or ''  ARGV[5] life of the idempotency key (ms)
-- ARGV[6] message that runs the parent again, or ''  ARGV[7] the queue list it goes to  ARGV[8] run of the parent
-- ARGV[9] event data for scheduled (that a job is queued goes without saying)
-- then per job: id, message, when it is due (ms) or '', number of fields, field, value, ...
-- Returns {'accepted', ''} | {'repeated', job id} | {'conflict', job id} | {'refused', state of the parent}
--       | {'exists', job id}  the id was given to another job

local count = (#KEYS - 3) / 4
if ARGV[4] ~= '' then
  local known = redis.call('GET', KEYS[2])
  if known then
    local fingerprint, id = string.match(known, '^(%x+):(.+)$')
    return {fingerprint == ARGV[4] and 'repeated' or 'conflict', id}
  end
end
-- Asked a second time because the first reply was lost, the record is there, and of the same call.
local created = count == 1 and redis.call('HGET', KEYS[4], 'created')
if created and created ~= ARGV[1] then return {'exists', ARGV[10]} end
if ARGV[6] ~= '' then
  local state, run, cancel = unpack(redis.call('HMGET', KEYS[3], 'state', 'run', 'cancel'))
  if state ~= 'running' or run ~= ARGV[8] or cancel then return {'refused', state or ''} end
  -- Delivered a second time after it had fanned out: the children are there already.
  if redis.call('HEXISTS', KEYS[3], 'children') == 1 then return {'accepted', ''} end
  redis.call('HSET', KEYS[3], 'children', count, 'open', count, 'resume', ARGV[6], 'resume_queue', ARGV[7])
  redis.call('HDEL', KEYS[3], 'receipt') -- its run ends here, in good order
end

local at = 10
for i = 0, count - 1 do
  local record, events, queue, delayed = unpack(KEYS, 4 + 4 * i, 7 + 4 * i)
  local id, message, due, fields = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  if redis.call('EXISTS', record) == 0 then
    redis.call('HSET', record, unpack(ARGV, at + 4, at + 3 + 2 * fields))
    redis.call('PEXPIRE', record, ARGV[2])
    redis.call('ZADD', KEYS[1], ARGV[1], id)
    if due == '' then
      redis.call('LPUSH', queue, message)
    else
      redis.call('ZADD', delayed, due, join_entry(queue, message))
      emit(events, ARGV[2], 'state', ARGV[9])
    end
    if i == 0 and ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4] .. ':' .. id, 'PX', ARGV[5]) end
  end
  at = at + 4 + 2 * fields
end
trim_index(KEYS[1], ARGV[1], ARGV[3])
return {'accepted', ''}
