-- Ends the delivery of messages: publishes what follows from each, stores its result and acknowledges it, in one step.
-- What came of a message that was given to another worker meanwhile is refused: that worker's run counts.
--
-- KEYS[1] what the worker holds
-- per message, from ARGV[1] on: receipt or '' if the worker holds none, key of the result, result or '', its life (ms; 0 for
--   ever), number of publications, then per publication: the list it goes to, message, the delayed messages of its queue, when it is due (ms) or ''
-- Returns the receipts that were refused

local refused = {}
local at = 1
while at <= #ARGV do
  local receipt, key, result, life, publications = unpack(ARGV, at, at + 4)
  at = at + 5
  local held = receipt == '' or redis.call('HDEL', KEYS[1], receipt) == 1
  if not held then refused[#refused + 1] = receipt end
  for _ = 1, tonumber(publications) do
    if held then
      local list, message, delayed, due = unpack(ARGV, at, at + 3)
      if due == '' then
        redis.call('LPUSH', list, message)
      else
        delay(delayed, due, join_entry(list, message))
      end
    end
    at = at + 4
  end
  if held and result ~= '' then
    if life == '0' then redis.call('SET', key, result) else redis.call('SET', key, result, 'PX', life) end
    redis.call('PUBLISH', key, result)
  end
end
return refused
