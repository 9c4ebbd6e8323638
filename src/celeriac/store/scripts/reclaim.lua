-- Brings back the messages of workers that are known to have ended, or whose lease has run out.
--
-- KEYS[1] leases  KEYS[2] void receipts  KEYS[3] when somebody last looked for leases that have run out (ms)
-- ARGV  holds: prefix of what workers hold  void_life_ms: life of a void receipt (ms)
-- leaving: a worker that ends in good order, and gives back what it holds, or ''
-- lease of who looks (ms); 0 if nobody looks again and again
-- then workers that have ended
-- Returns worker, number of messages, ... of those that held any

local holds, void_life_ms, leaving, lease_ms = unpack(ARGV, 1, WIDTH.args) -- fields: args

local now_ms = server_time()

-- No worker called this for a while: the server was away, or refused to write. So living workers could not renew their
-- leases. Give them time for it.
lease_ms = tonumber(lease_ms)
if lease_ms > 0 then
  local looked_ms = tonumber(redis.call('GET', KEYS[3]) or 0)
  redis.call('SET', KEYS[3], now_ms, 'PX', lease_ms)
  if now_ms - looked_ms > lease_ms / 2 then
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms)) do
      redis.call('ZADD', KEYS[1], math.floor(now_ms + lease_ms / 2), worker)
    end
  end
end

local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms)
for i = WIDTH.args + 1, #ARGV do gone[#gone + 1] = ARGV[i] end

local reply = {}
for _, worker in ipairs(gone) do
  local held = redis.call('HGETALL', holds .. worker)
  local entries = {}
  for i = 1, #held, 2 do
    entries[#entries + 1] = {tonumber(string.match(held[i], '%d+$')) or 0, held[i + 1], held[i]}
  end
  -- Push the oldest last, so that it is the first to be taken again.
  table.sort(entries, function(one, other) return one[1] > other[1] end)
  local count = 0
  for _, numbered in ipairs(entries) do
    local list, message = split_entry(numbered[2])
    local pushed = redis.pcall('RPUSH', list, redelivered(message, worker == leaving and 0 or 1))
    if type(pushed) == 'number' then -- else the queue is a key of another type: it is tried again with the next look
      redis.call('HDEL', holds .. worker, numbered[3])
      redis.call('ZADD', KEYS[2], now_ms, numbered[3])
      count = count + 1
    end
  end
  if count == #entries then redis.call('ZREM', KEYS[1], worker) else redis.call('ZADD', KEYS[1], now_ms, worker) end
  if count > 0 then
    reply[#reply + 1] = worker
    reply[#reply + 1] = count
  end
end
if #reply > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_ms - void_life_ms)
  redis.call('PEXPIRE', KEYS[2], void_life_ms)
end
return reply
