-- Moves a job to another state, with its outcome, if the state it is in allows that.
--
-- KEYS[1] index
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] prefix of records  ARGV[4] of events  ARGV[5] of results
-- ARGV[6...] id, parent id or '', new state, states it may come from, joined by commas, the run that reports this or '',
--   the attempt it was or '', task, event data, outcome in Celery's format or '', error or '',
--   life of the record from here on (ms), '1' if the new state is an end
-- Returns 'moved' | the state that does not allow it

return move({ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], KEYS[1]}, unpack(ARGV, 6))
