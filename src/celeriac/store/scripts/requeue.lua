-- Puts a job that has ended without success back into its queue, as if it were new. Its id stays.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] queue list
-- ARGV[1] now (ms)  ARGV[2] life of an open record (ms)  ARGV[3] states it may come from, joined by commas
-- ARGV[4] event data  ARGV[5] message
-- Returns {'unknown'} | {'queued' or the state that does not allow it, field of the record, value, ...}

local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'unknown'} end
if not contains(ARGV[3], state) then return with_record(state, KEYS[1]) end
redis.call('LPUSH', KEYS[4], ARGV[5]) -- first: nothing is changed if the queue is a key of another type
-- Without `parent` it is no longer counted as a child: the parent may have gone on without it.
-- A run of before that still reports is refused.
redis.call('HINCRBY', KEYS[1], 'run', 1)
redis.call('HDEL', KEYS[1], 'finished', 'floor', 'receipt', 'lost', 'started', 'error', 'progress', 'cancel', 'worker', 'attempt', 'delay_until',
  'parent', 'children', 'open', 'resume', 'resume_queue', 'children_succeeded', 'children_failed', 'children_cancelled')
redis.call('HSET', KEYS[1], 'state', 'queued', 'updated', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[3])
emit(KEYS[2], ARGV[2], 'state', ARGV[4])
return with_record('queued', KEYS[1])
