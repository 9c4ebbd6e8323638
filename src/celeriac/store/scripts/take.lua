-- Takes the next messages of some queues for a worker, and records in the same step that the worker holds them.
--
-- KEYS[1] leases  KEYS[2] what the worker holds  KEYS[3] crowd
-- then per queue: delayed messages, and its list of each priority, highest first
-- ARGV  worker  lease_ms: lease (ms)  receipt of the first message: `<worker>/<number>`; the next ones follow it
-- most: how many at most  lists per queue
-- records: prefix of records  events: prefix of events  queued_event: event data for queued  life of a record (ms)
-- claim_until_ms: '', or until when (ms) a claim is met: a call made in advance, for a worker that then holds nothing
-- shown: '', or the worker's name for people: the jobs of Celeriac's client begin in this step where `begin` below allows it
-- then per queue: '1' if its messages are held, '0' if they count as acknowledged
-- Returns {now (ms), ms until it is worth while to ask again or -1 (a delayed message is due then),
--   number of the queue from 0, message, 1 if its job has begun or 0, ...}

local worker, lease_ms, receipt, most, lists, records, events, queued_event, life_ms,
  claim_until_ms, shown = unpack(ARGV, 1, WIDTH.args) -- fields: args

lists = tonumber(lists)
local first_queue = 4 -- among KEYS
local queues = (#KEYS - first_queue + 1) / (lists + 1)
local now_ms = server_time()

-- Moves due messages to their queues. A job that waited for its time is queued then.
local function promote(delayed)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now_ms, 'LIMIT', 0, 100)
  if #due == 0 then return end
  redis.call('ZREMRANGEBYRANK', delayed, 0, #due - 1)
  for _, entry in ipairs(due) do
    local list, message = split_entry(entry)
    local id
    if type(redis.pcall('LPUSH', list, message)) == 'number' then
      id = task_of(message)
    else -- its queue is a key of another type: the message keeps waiting, and stops no other
      redis.call('ZADD', delayed, now_ms + 60000, entry)
    end
    local record = id and records .. id
    local state = record and redis.call('HGET', record, 'state')
    if state == 'scheduled' or state == 'retrying' then
      redis.call('HSET', record, 'state', 'queued', 'updated', now_ms)
      redis.call('HDEL', record, 'delay_until')
      emit(events .. id, life_ms, 'state', queued_event)
    end
  end
end

local begun = {}

-- Begins the job of a message that was just taken, if it is its first run: that of a job with no parent, which was never
-- scheduled or given back, and which nobody has touched since. Returns 1, or 0 if the worker has to ask `begin.lua`.
local function begin(message, its_receipt)
  local id = shown ~= '' and string.match(message, '^{"headers":{"id":"([^"\\]+)","root_id":"')
  if not id then return 0 end
  local record = records .. id
  local state, run, parent, updated, created = unpack(redis.pcall('HMGET', record, 'state', 'run', 'parent', 'updated', 'created'))
  if state ~= 'queued' or run or parent or updated or now_ms - created > life_ms / 30 then return 0 end
  redis.call('HSET', record, 'state', 'running', 'run', 1, 'started', now_ms, 'worker', shown, 'receipt', its_receipt)
  begun[#begun + 1] = id
  return 1
end

local function number_of_queue(list)
  for i = first_queue, #KEYS do
    if KEYS[i] == list then return math.floor((i - first_queue) / (lists + 1)) end
  end
end

local prefix, first = string.match(receipt, '^(.*/)(%d+)$')
local wanted = tonumber(most)

-- If the first reply was lost, this is the second call: return the messages taken in the first.
if redis.call('HEXISTS', KEYS[2], receipt) == 1 then
  local reply = {now_ms, 0}
  for i = 0, wanted - 1 do
    local entry = redis.call('HGET', KEYS[2], prefix .. string.format('%d', first + i))
    if not entry then break end
    local list, message = split_entry(entry)
    reply[#reply + 1] = number_of_queue(list)
    reply[#reply + 1] = message
    reply[#reply + 1] = 0
  end
  return reply
end

-- A worker that has been given up, or is busy, takes nothing by a claim made in advance.
local is_claim = claim_until_ms ~= ''
local lease_end_ms = is_claim and tonumber(redis.call('ZSCORE', KEYS[1], worker) or 0)
if is_claim and (lease_end_ms <= now_ms or now_ms > tonumber(claim_until_ms) or redis.call('HLEN', KEYS[2]) > 0) then return {now_ms, 0} end

local next_due_ms = -1
for queue = 0, queues - 1 do
  local delayed = KEYS[first_queue + queue * (lists + 1)]
  promote(delayed)
  local soonest = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  if soonest then
    local wait_ms = math.max(0, math.ceil(tonumber(soonest) - now_ms))
    if next_due_ms < 0 or wait_ms < next_due_ms then next_due_ms = wait_ms end
  end
end

local reply, holding = {now_ms, next_due_ms}, {}
local taken = 0
for priority = 1, lists do
  for queue = 0, queues - 1 do
    local list = KEYS[first_queue + queue * (lists + 1) + priority]
    -- Treat a key of another type as empty: an error would lose the messages taken before.
    local popped = taken < wanted and redis.pcall('RPOP', list, wanted - taken)
    for _, message in ipairs(popped and not popped.err and popped or {}) do
      local has_begun = 0
      if ARGV[WIDTH.args + 1 + queue] == '1' then
        local its_receipt = prefix .. string.format('%d', first + taken)
        holding[#holding + 1] = its_receipt
        holding[#holding + 1] = join_entry(list, message)
        has_begun = begin(message, its_receipt)
      end
      reply[#reply + 1] = queue
      reply[#reply + 1] = message
      reply[#reply + 1] = has_begun
      taken = taken + 1
    end
  end
end
if #holding > 0 then
  for i = 1, #holding, 2000 do -- as many as Lua can unpack
    redis.call('HSET', KEYS[2], unpack(holding, i, math.min(i + 1999, #holding)))
  end
  -- A claim that is met does not prove that its worker lives.
  if not is_claim then redis.call('ZADD', KEYS[1], 'GT', now_ms + lease_ms, worker) end
end
if #begun > 0 then
  local publish = publisher(KEYS[3], events)
  for _, id in ipairs(begun) do publish(events .. id, 'state') end
end
return reply
