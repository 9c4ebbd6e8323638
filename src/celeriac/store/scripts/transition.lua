-- Moves a job to another state, with its outcome, if its current state allows that.
--
-- KEYS[1] index
-- ARGV  now (ms)  open_life_ms: life of an open record (ms)  records: prefix of records  events: of events  results: of results
-- then id, parent id or '', new state, states it may come from, joined by commas, the run that reports this or '',
--   the attempt it was or '', task, event data, outcome in Celery's format or '', error or '',
--   life of the record from here on (ms), '1' if the new state is an end
-- Returns 'moved' | the state that does not allow it

local now_ms, open_life_ms, records, events, results = unpack(ARGV, 1, WIDTH.args) -- fields: args

return move({now_ms, open_life_ms, records, events, results, KEYS[1]}, unpack(ARGV, WIDTH.args + 1))
