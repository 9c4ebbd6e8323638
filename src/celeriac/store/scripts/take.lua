-- Takes the next message of some queues for a worker, and records in the same step that the worker holds it.
--
-- KEYS[1] leases  KEYS[2] what the worker holds
-- then per queue: delayed messages, and its list of each priority, highest first
-- ARGV[1] worker  ARGV[2] lease (ms)  ARGV[3] receipt  ARGV[4] lists per queue
-- ARGV[5] prefix of records  ARGV[6] prefix of events  ARGV[7] event data for queued  ARGV[8] life of a record (ms)
-- ARGV[9...] per queue: '1' if its messages are held, '0' if they count as acknowledged
-- Returns {now (ms), message, number of the queue from 0} | {now (ms), false, ms until a delayed message is due, or -1}

local lists = tonumber(ARGV[4])
local queues = (#KEYS - 2) / (lists + 1)
local now = server_time()

-- Moves what is due to its queue; a job that waited for it is queued now.
local function promote(delayed)
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 100)) do
    local list, message = split_entry(entry)
    redis.call('ZREM', delayed, entry)
    redis.call('LPUSH', list, message)
    local readable, parsed = pcall(cjson.decode, message)
    local id = readable and type(parsed.headers) == 'table' and parsed.headers.id
    local record = id and ARGV[5] .. id
    local state = record and redis.call('HGET', record, 'state')
    if state == 'scheduled' or state == 'retrying' then
      redis.call('HSET', record, 'state', 'queued', 'updated', now)
      redis.call('HDEL', record, 'delay_until')
      emit(ARGV[6] .. id, ARGV[8], 'state', ARGV[7])
    end
  end
end

-- Asked a second time, because the first reply was lost: what was taken then.
local taken = redis.call('HGET', KEYS[2], ARGV[3])
if taken then
  local list = split_entry(taken)
  for i = 3, #KEYS do
    if KEYS[i] == list then return {now, select(2, split_entry(taken)), math.floor((i - 3) / (lists + 1))} end
  end
end

local next_due = -1
for queue = 0, queues - 1 do
  local delayed = KEYS[3 + queue * (lists + 1)]
  promote(delayed)
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  if first then
    local wait = math.max(0, math.ceil(tonumber(first) - now))
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end

for priority = 1, lists do
  for queue = 0, queues - 1 do
    local list = KEYS[3 + queue * (lists + 1) + priority]
    local message = redis.call('RPOP', list)
    if message then
      if ARGV[9 + queue] == '1' then
        redis.call('HSET', KEYS[2], ARGV[3], join_entry(list, message))
        redis.call('ZADD', KEYS[1], 'GT', now + ARGV[2], ARGV[1])
      end
      return {now, message, queue}
    end
  end
end
return {now, false, next_due}
