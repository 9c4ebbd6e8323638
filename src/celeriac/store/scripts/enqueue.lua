-- Accepts jobs: record, index entry and message of each, all or none.
--
-- KEYS[1] index        sorted set of job ids by creation time
-- KEYS[2] idempotency  string `<fingerprint>:<job id>`, or the index where no key was given
-- KEYS[3] parent       record of the job that fans out, or the index where none does
-- KEYS[4 + 2i] record, KEYS[5 + 2i] queue list   of job i, from 0
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] index entries up to this score are dropped
-- ARGV[4] fingerprint of the request, or ''  ARGV[5] life of the idempotency key (ms)
-- ARGV[6] message that runs the parent again, or ''  ARGV[7] the queue list it goes to
-- then per job: id, message, number of fields, field, value, ...
-- Returns {'accepted', ''} | {'repeated', job id} | {'conflict', job id} | {'refused', state of the parent}

local count = (#KEYS - 3) / 2
if ARGV[4] ~= '' then
  local known = redis.call('GET', KEYS[2])
  if known then
    local fingerprint, id = string.match(known, '^(%x+):(.+)$')
    return {fingerprint == ARGV[4] and 'repeated' or 'conflict', id}
  end
end
if ARGV[6] ~= '' then
  local state = redis.call('HGET', KEYS[3], 'state')
  if state ~= 'running' or redis.call('HEXISTS', KEYS[3], 'cancel') == 1 then return {'refused', state or ''} end
  -- Delivered a second time after it had fanned out: the children are there already.
  if redis.call('HEXISTS', KEYS[3], 'children') == 1 then return {'accepted', ''} end
  redis.call('HSET', KEYS[3], 'children', count, 'open', count, 'resume', ARGV[6], 'resume_queue', ARGV[7])
end

local at = 8
for i = 0, count - 1 do
  local record, queue = KEYS[4 + 2 * i], KEYS[5 + 2 * i]
  local id, message, fields = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  -- A client that lost the reply sends the same batch again: what is there is not enqueued twice.
  if redis.call('EXISTS', record) == 0 then
    redis.call('HSET', record, unpack(ARGV, at + 3, at + 2 + 2 * fields))
    redis.call('PEXPIRE', record, ARGV[2])
    redis.call('ZADD', KEYS[1], ARGV[1], id)
    redis.call('LPUSH', queue, message)
    if i == 0 and ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4] .. ':' .. id, 'PX', ARGV[5]) end
  end
  at = at + 3 + 2 * fields
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'accepted', ''}
