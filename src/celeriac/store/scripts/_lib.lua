-- Shared by the scripts below; prepended to each of them.
--
-- record  hash    one job: state, task, queue, created, updated, arguments, attempt, ... (core/records.py);
--                 a job that has fanned out also has: children (count), open (children that have not ended),
--                 children_succeeded, children_failed, children_cancelled, resume (the message that runs it again)
--                 and resume_queue (the list it goes to)
-- events  stream  entries {name, data}; its key is also the channel that announces a new entry
-- result  string  the outcome in Celery's format; its key is also the channel Celery's own clients listen on
-- queue   list    messages in kombu's format; taken from the right, so the left end is the last
-- delayed zset    entries of one queue by the time they are due (ms)
-- held    hash    receipt -> entry: the messages that one worker has taken and not acknowledged
-- leases  zset    workers by the time until which their hold is respected (ms of the server's clock)
-- crowd   string  is there while more listen to one kind of channel than a script should list
-- void    zset    receipts under which a vanished worker held a message, by the time that it was brought back (ms)
-- dead    stream  dead letters: entries {list, message, cause}
-- An entry is a message with the list it belongs to: `<length>:<list><message>`.

local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function join_entry(list, message)
  return #list .. ':' .. list .. message
end

local function split_entry(entry)
  local digits = string.match(entry, '^%d+')
  local length, start = tonumber(digits), #digits + 2
  return string.sub(entry, start, start + length - 1), string.sub(entry, start + length)
end

-- Marks a message as delivered before, with the number of workers that have vanished with it. The mark is a field of our
-- own, which other consumers ignore.
local function redelivered(message, losses)
  if string.sub(message, 1, 1) ~= '{' then return message end
  local known, rest = string.match(message, '^{"celeriac%-redelivered":(%d+),(.*)$')
  return '{"celeriac-redelivered":' .. (known or 0) + losses .. ',' .. (rest or string.sub(message, 2))
end

-- Marks a message that waits, or has waited, for its task's rate limit. The mark is a field of our own, behind the one
-- above.
local function limited(message, mark)
  if string.sub(message, 1, 1) ~= '{' then return message end
  local start = string.match(message, '^{"celeriac%-redelivered":%d+,') or '{'
  local rest = string.sub(message, #start + 1)
  return string.sub(rest, 1, #mark) == mark and message or start .. mark .. rest
end

-- Adds a message to the delayed ones of a queue. Idle workers hear of it if it is due before all others.
local function delay(delayed, due_ms, entry)
  local added = redis.call('ZADD', delayed, due_ms, entry)
  if redis.call('ZRANGE', delayed, 0, 0)[1] == entry then redis.call('PUBLISH', delayed, due_ms) end
  return added
end

-- Returns the id of a message's task; nil if it has none. A message of Celeriac's client need not be parsed for it.
local function task_of(message)
  local id = string.match(message, '^{"headers":{"id":"([^"\\]+)","root_id":"')
  if id then return id end
  local _, parsed = pcall(cjson.decode, message)
  local headers = type(parsed) == 'table' and parsed.headers
  id = type(headers) == 'table' and headers.id
  return type(id) == 'string' and id or nil
end

-- Returns a function that publishes on channels with this prefix, if somebody listens. To ask once is cheaper than to
-- publish for each job, unless there is a crowd: then nobody is asked for a second.
local function publisher(crowd, prefix)
  local function publish(channel, message) redis.call('PUBLISH', channel, message) end
  if redis.call('EXISTS', crowd) == 1 then return publish end
  local channels = redis.pcall('PUBSUB', 'CHANNELS', prefix .. '*')
  if channels.err then return publish end -- the user has no right to ask
  if #channels > 500 then redis.call('SET', crowd, 1, 'PX', 1000) end
  local heard = {}
  for _, channel in ipairs(channels) do heard[channel] = true end
  return function(channel, message) if heard[channel] then publish(channel, message) end end
end

local function emit(events, life_ms, name, data)
  redis.call('XADD', events, '*', 'name', name, 'data', data)
  redis.call('PEXPIRE', events, life_ms)
  redis.call('PUBLISH', events, name)
end

local function store_result(result, meta, life_ms)
  if meta ~= '' then
    redis.call('SET', result, meta, 'PX', life_ms)
    redis.call('PUBLISH', result, meta)
  end
end

-- Stores the outcome of a task that has no record; `life_ms` is '0' for ever.
local function store_plain_result(key, outcome, life_ms) -- fields: plain_result
  if life_ms == '0' then redis.call('SET', key, outcome) else redis.call('SET', key, outcome, 'PX', life_ms) end
  redis.call('PUBLISH', key, outcome)
end

-- Returns whether a job is a child that its parent waits for. A child of an earlier fan-out is not: its parent was run
-- again by hand meanwhile, and has fanned out anew.
local function is_awaited(record, parent, parent_id)
  local its_parent, fan_out = unpack(redis.call('HMGET', record, 'parent', 'parent_run'))
  return its_parent == parent_id and fan_out == redis.call('HGET', parent, 'fan_out')
end

-- Counts a child of `parent` that has ended, and runs the parent again after the last one. A child's record names its
-- parent only while the parent waits for it, so that no child is counted twice.
local function settle_parent(record, parent, parent_id, outcome)
  if parent_id == '' or not is_awaited(record, parent, parent_id) then return end
  if redis.call('HEXISTS', parent, 'open') == 0 then return end
  if outcome == 'dead' then outcome = 'failed' end
  redis.call('HINCRBY', parent, 'children_' .. outcome, 1)
  if redis.call('HINCRBY', parent, 'open', -1) > 0 then return end
  if redis.call('HGET', parent, 'state') ~= 'running' then return end
  local message = redis.call('HGET', parent, 'resume')
  if message then
    redis.call('LPUSH', redis.call('HGET', parent, 'resume_queue'), message)
    redis.call('HDEL', parent, 'resume', 'resume_queue')
  end
end

-- Keeps the records of all jobs that wait for this one (its parent, that one's parent, ...) for at least `life_ms`.
local function prolong_ancestors(record, records, life_ms)
  local parent = redis.call('HGET', record, 'parent')
  while parent do
    redis.call('PEXPIRE', records .. parent, life_ms, 'GT')
    parent = redis.call('HGET', records .. parent, 'parent')
  end
end

-- Ends a job: records the end, notifies its followers and waiters, and lets its parent count it.
local function conclude(record, events, result, parent, parent_id, state, now_ms, life_ms, event, outcome)
  redis.call('HSET', record, 'state', state, 'updated', now_ms, 'finished', now_ms, 'receipt', '')
  redis.call('PEXPIRE', record, life_ms)
  store_result(result, outcome, life_ms)
  settle_parent(record, parent, parent_id, state)
  emit(events, life_ms, 'state', event)
end

-- Removes jobs from the index that were created a life ago or earlier.
local function trim_index(index, now_ms, life_ms)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now_ms - life_ms)
  redis.call('PEXPIRE', index, life_ms)
end

local function add_to_index(index, id, now_ms, life_ms)
  redis.call('ZADD', index, 'NX', now_ms, id)
  trim_index(index, now_ms, life_ms)
end

local function contains(list, word)
  return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil
end

-- Moves a job to another state, with its outcome, if its current state allows that. Returns 'moved', or the current state.
-- `shared` has: now (ms), life of an open record (ms), prefixes of records, events and results, and the index.
-- `known` has: state and run in its record.
local function change(shared, known,
  id, parent_id, state, sources, run, attempt, task, event, outcome, failure, life_ms, is_end) -- fields: transition from id
  local now_ms, open_life_ms, records, events, results, index = unpack(shared)
  local record = records .. id
  if known[1] and not contains(sources, known[1]) then return known[1] end
  -- The reporting run was given up as lost, or was cancelled and retried by hand. Another run counts now.
  if run ~= '' and run ~= known[2] then return known[1] or '' end
  if not known[1] then -- enqueued by a producer that keeps no records
    redis.call('HSET', record, 'created', now_ms, 'task', task)
    add_to_index(index, id, now_ms, open_life_ms)
  end
  if failure ~= '' then redis.call('HSET', record, 'error', failure) end
  if is_end == '1' then
    local parent = parent_id ~= '' and records .. parent_id
    conclude(record, events .. id, results .. id, parent, parent_id, state, now_ms, life_ms, event, outcome)
    return 'moved'
  end
  redis.call('HSET', record, 'state', state, 'updated', now_ms)
  if state ~= 'running' then redis.call('HDEL', record, 'receipt') end
  -- The job continues in another message, which counts its attempts from 1.
  if state == 'queued' then redis.call('HDEL', record, 'floor') end
  if state == 'retrying' and attempt ~= '' then redis.call('HSET', record, 'floor', attempt + 1) end
  redis.call('PEXPIRE', record, life_ms)
  store_result(results .. id, outcome, life_ms)
  emit(events .. id, life_ms, 'state', event)
  return 'moved'
end

local function move(shared, id, ...)
  return change(shared, redis.call('HMGET', shared[3] .. id, 'state', 'run'), id, ...)
end

-- Calls `each` for the jobs in ARGV[from...], with `width` arguments a job. Returns its results in order.
-- An error, such as a key of another type, is the reply of that job, and stops no other.
local function for_each_job(from, width, each)
  local replies = {}
  for at = from, #ARGV, width do
    local done, reply = pcall(each, unpack(ARGV, at, at + width - 1))
    if not done then reply = {err = type(reply) == 'table' and reply.err or tostring(reply)} end
    replies[#replies + 1] = reply
  end
  return replies
end

-- Makes a reply: the verdict, and the whole record as it is now (field, value, ...).
local function with_record(verdict, record)
  return {verdict, unpack(redis.call('HGETALL', record))}
end
