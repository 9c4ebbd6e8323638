-- Says of each job whether a worker may run it now, and records the runs of those that may.
--
-- KEYS[1] index
-- ARGV  now (ms)  open_life_ms: life of an open record (ms)
-- records: prefix of records  events_of: of events  results: of results  held: of what workers hold
-- cancelled_event: event data for cancelled  dead_event: for one given up  dead_error: error of one given up
-- cancelled_outcome: Celery's outcome for cancelled, up to the id  dead_outcome: for one given up
-- most_lost: lost runs after which it is given up
-- then per job: id, parent id or '', task, queue, attempt from 1, worker, for people, receipt under which the
--   worker holds the message or '' if it does not, life of a finished record (ms), '1' if an outcome is wanted
-- Returns per job an error,
--      or {'run', number of the run, children, succeeded, failed, cancelled} (children -1 where it has not fanned out)
--       | {'stale'}      another message of the job counts: it has ended, runs elsewhere, has gone on to a later
--                        attempt, or waits for its children
--       | {'cancelled'}  it was cancelled before it began
--       | {'dead'}       it has ended its worker too often, and is given up

local now_ms, open_life_ms, records, events_of, results, held, cancelled_event, dead_event, dead_error,
  cancelled_outcome, dead_outcome, most_lost = unpack(ARGV, 1, WIDTH.args) -- fields: args

local event_of = {cancelled = cancelled_event, dead = dead_event}
local outcome_of = {cancelled = cancelled_outcome, dead = dead_outcome}

local function is_held(receipt)
  local worker = string.match(receipt, '^(.*)/%d+$')
  return worker and redis.call('HEXISTS', held .. worker, receipt) == 1
end

local function begin(id, parent_id, task, queue, attempt, worker, receipt, life_ms, wanted) -- fields: job
  local record, events = records .. id, events_of .. id
  local parent = parent_id ~= '' and records .. parent_id

  local function finish(state)
    local outcome = wanted == '1' and outcome_of[state] .. cjson.encode(id) .. '}' or ''
    conclude(record, events, results .. id, parent, parent_id, state, now_ms, life_ms, event_of[state], outcome)
    return {state}
  end

  local state, run, floor, updated = unpack(redis.call('HMGET', record, 'state', 'run', 'floor', 'updated'))
  local cancel, children, open, other, started, failure -- which only a run before this one can have left
  if run or floor then
    local known = redis.call('HMGET', record, 'cancel', 'children', 'open', 'receipt', 'started', 'error')
    cancel, children, open, other, started, failure = unpack(known)
    if other == '' then other = nil end
  end
  local function may_run()
    if not children then return {'run', run, -1, 0, 0, 0} end
    local ended = redis.call('HMGET', record, 'children_succeeded', 'children_failed', 'children_cancelled')
    return {'run', run, tonumber(children), tonumber(ended[1] or 0), tonumber(ended[2] or 0), tonumber(ended[3] or 0)}
  end

  if state == 'cancelled' then return {'cancelled'} end
  if state == 'succeeded' or state == 'failed' or state == 'dead' then return {'stale'} end
  if floor and tonumber(attempt) < tonumber(floor) then return {'stale'} end
  if open and tonumber(open) > 0 then return {'stale'} end
  -- Another worker has got the message while it waited in this one.
  if receipt ~= '' and not is_held(receipt) then return {'stale'} end
  -- The job runs from another message, in a worker that lives.
  if other and other ~= receipt and is_held(other) then return {'stale'} end

  if not cancel and parent and redis.call('HGET', record, 'parent') == parent_id then
    cancel = redis.call('HGET', parent, 'state') == 'cancelled' or not is_awaited(record, parent, parent_id)
  end
  if cancel then return finish('cancelled') end

  if state == 'running' and other then
    if other == receipt then -- asked a second time, because the first reply was lost
      run = tonumber(run)
      return may_run()
    end
    -- The job was running, but that run has vanished without an end.
    if redis.call('HINCRBY', record, 'lost', 1) >= tonumber(most_lost) then
      redis.call('HSET', record, 'error', dead_error)
      return finish('dead')
    end
  end

  if not state then -- enqueued by a producer that keeps no records
    redis.call('HSET', record, 'task', task, 'queue', queue, 'created', now_ms)
    add_to_index(KEYS[1], id, now_ms, open_life_ms)
  end
  run = (tonumber(run) or 0) + 1
  redis.call('HSET', record, 'state', 'running', 'updated', now_ms, 'attempt', attempt, 'floor', attempt,
    'worker', worker, 'run', run, 'started', started or now_ms, 'receipt', receipt)
  if failure or state ~= 'queued' then redis.call('HDEL', record, 'delay_until', 'error') end
  -- The last change has set its life. Setting it again each time would cost half as much as all the rest.
  if not updated or now_ms - updated > open_life_ms / 30 then
    redis.call('PEXPIRE', record, open_life_ms)
    prolong_ancestors(record, records, open_life_ms)
  end
  emit(events, open_life_ms, 'state', '{"state":"running","attempt":' .. attempt .. '}')
  return may_run()
end

return for_each_job(WIDTH.args + 1, WIDTH.job, begin)
