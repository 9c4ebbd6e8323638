-- Makes the messages due now that a task's rate limit has put off, in their order, as if they had never been put off.
-- Each call handles a part.
--
-- KEYS[1] delayed messages of the queue
-- ARGV  mark of such a message (`limited` in _lib.lua)  first_call: time of the first call (ms), '' in that one
-- after: behind which time the part begins (ms), '' at first
-- Returns {time of the first call, behind which time the next part begins}; the latter is '' after the last part

local mark, first_call, after = unpack(ARGV) -- fields: args

local base_ms = first_call == '' and server_time() or tonumber(first_call)
local found = false

local function bring_back(entries)
  for i = 1, #entries, 2 do
    local list, message = split_entry(entries[i])
    local first, last = string.find(string.sub(message, 1, #mark + 40), mark, 1, true)
    if first then
      local due_ms = string.format('%.6f', base_ms + (entries[i + 1] - base_ms) / 1e6)
      redis.call('ZREM', KEYS[1], entries[i])
      redis.call('ZADD', KEYS[1], due_ms, join_entry(list, string.sub(message, 1, first - 1) .. string.sub(message, last + 1)))
      found = true
    end
  end
end

local start = after == '' and string.format('%d', base_ms) or after
local part = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. start, '+inf', 'WITHSCORES', 'LIMIT', 0, 500)
local last = part[#part]
bring_back(part)
if last then bring_back(redis.call('ZRANGEBYSCORE', KEYS[1], last, last, 'WITHSCORES')) end -- what is due with the last
if found then redis.call('PUBLISH', KEYS[1], base_ms) end
return {string.format('%d', base_ms), #part < 1000 and '' or last}
