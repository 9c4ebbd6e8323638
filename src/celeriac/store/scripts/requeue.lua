-- Puts a job that has ended without success back into its queue, as if it were new. Its id stays.
--
-- KEYS[1] record  KEYS[2] events  KEYS[3] result  KEYS[4] queue list
-- ARGV  now (ms)  life of an open record (ms)  sources: states it may come from, joined by commas
-- event data  message
-- Returns {'unknown'} | {'queued' or the state that does not allow it, field of the record, value, ...}

local now_ms, life_ms, sources, event, message = unpack(ARGV) -- fields: args

local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'unknown'} end
if not contains(sources, state) then return with_record(state, KEYS[1]) end
redis.call('LPUSH', KEYS[4], message) -- do this first: nothing changes if the queue is a key of another type
-- Without `parent` the job no longer counts as a child: the parent may have continued without it.
-- An earlier run that still reports is refused.
redis.call('HINCRBY', KEYS[1], 'run', 1)
redis.call('HDEL', KEYS[1], 'finished', 'floor', 'receipt', 'lost', 'started', 'error', 'progress', 'cancel', 'worker', 'attempt', 'delay_until',
  'parent', 'parent_run', 'fan_out', 'children', 'open', 'resume', 'resume_queue', 'children_succeeded', 'children_failed', 'children_cancelled')
redis.call('HSET', KEYS[1], 'state', 'queued', 'updated', now_ms)
redis.call('PEXPIRE', KEYS[1], life_ms)
redis.call('DEL', KEYS[3])
emit(KEYS[2], life_ms, 'state', event)
return with_record('queued', KEYS[1])
