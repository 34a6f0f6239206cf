-- One stored call: how it is read, and what changes its state.

local FIELDS = { 'body', 'origin', 'born', 'attempts', 'lease', 'until', 'held', 'reason', 'last', 'created' }

-- A stored call with its id, without what it lacks. nil where it is gone.
local function read(id)
  local values = call('HMGET', key_of(id), unpack(FIELDS))
  if not values[1] then
    return nil
  end
  local row = { id = id }
  for place, field in ipairs(FIELDS) do
    row[field] = values[place] or nil
  end
  row.born, row['until'] = tonumber(row.born), tonumber(row['until'])
  row.attempts = tonumber(row.attempts) or 0
  return row
end

-- The call of an operation, if the lease is the one that it has.
local function held_by(one)
  local row = read(one.id)
  return row and row.lease == one.lease and row or nil
end

local function leave_queue(row)
  if call('ZREM', TIMES, row.id) == 0 then
    call('ZREM', ready(row.origin), row.id)
  end
end

local function queue(row, at)
  call('ZREM', ready(row.origin), row.id)
  call('ZADD', TIMES, at, row.id)
end

local function lease(row, token, ms)
  queue(row, now + ms)
  call('HSET', key_of(row.id), 'lease', token, 'until', now + ms)
  if row.held then
    call('HDEL', key_of(row.id), 'held')
  end
end

local function make_due(row, at)
  queue(row, at)
  call('HSET', key_of(row.id), 'until', at)
  call('HDEL', key_of(row.id), 'lease', 'held')
end

local function delete(row)
  leave_queue(row)
  call('DEL', key_of(row.id))
  call('ZREM', ALIVE, row.id)
  pending_bytes = pending_bytes - weight(row.body)
end

local function bury(row, reason)
  leave_queue(row)
  call('HSET', key_of(row.id), 'reason', reason)
  call('HDEL', key_of(row.id), 'lease', 'held', 'until')
  call('ZREM', ALIVE, row.id)
  call('ZADD', DEAD, now, row.id)
  pending_bytes, dead_bytes = pending_bytes - weight(row.body), dead_bytes + weight(row.body)
end

-- Whether it was dead.
local function delete_dead(id)
  local row = read(id)
  local is_dead = row ~= nil and row.reason ~= nil
  if is_dead then
    call('DEL', key_of(id))
    dead_bytes = dead_bytes - weight(row.body)
  end
  call('ZREM', DEAD, id)
  return is_dead
end
