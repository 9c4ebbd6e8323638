-- Looks at the next delayed messages of some queues; changes nothing.
--
-- KEYS[1] and so on, per queue: delayed messages
-- ARGV  most: how many per queue at most  longest: bytes of a message at most: of a longer one the body is left out
-- Returns {when it is due (ms), message, ...}; one that is too long even so is left out

local most, longest = unpack(ARGV) -- fields: args

-- The message without its body, as far as that can be found without reading it: base64 (kombu), or what comes last (ours).
local function without_body(message)
  local at = string.find(message, '"body": "', 1, true)
  local past = at and string.find(message, '", ', at + 9, true)
  if past then return string.sub(message, 1, at - 1) .. string.sub(message, past + 3) end
  at = string.find(message, ',"body":"', 1, true)
  return at and string.sub(message, 1, at - 1) .. '}' or message
end

local longest, found = tonumber(longest), {}
for _, delayed in ipairs(KEYS) do
  for rank = 0, tonumber(most) - 1 do -- one at a time: many large ones would be too much at once
    local next = redis.call('ZRANGE', delayed, rank, rank, 'WITHSCORES')
    if not next[1] then break end
    local _, message = split_entry(next[1])
    if #message > longest then message = without_body(message) end
    if #message <= longest then
      found[#found + 1] = next[2]
      found[#found + 1] = message
    end
  end
end
return found
