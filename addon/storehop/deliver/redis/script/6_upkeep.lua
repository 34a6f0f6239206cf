-- The operations that keep an outbox healthy, and what people do with it.

local function drop_dead(most_bytes)
  local dropped = 0
  for _, oldest in ipairs(dead_bytes > most_bytes and call('ZRANGE', DEAD, 0, AT_ONCE - 1) or {}) do
    if dead_bytes <= most_bytes then
      break
    end
    dropped = dropped + (delete_dead(oldest) and 1 or 0)
  end
  return dropped
end

local function expire(one)
  local expired, skipped = {}, 0
  repeat
    local ids = call('ZRANGE', ALIVE, '-inf', now - one.max_age_ms, 'BYSCORE', 'LIMIT', skipped, PAGE)
    for _, id in ipairs(ids) do
      local row = read(id)
      if not row then
        call('ZREM', ALIVE, id)
      elseif #expired == one.most or (row.lease and row['until'] > now) then
        skipped = skipped + 1
      else
        bury(row, one.reason)
        expired[#expired + 1] = id
      end
    end
  until #ids < PAGE or #expired == one.most
  return expired
end

-- Where somebody has deleted keys, nothing has told us their bytes.
local function mend_bytes(pending, dead)
  pending_bytes, dead_bytes = pending > 0 and pending_bytes or 0, dead > 0 and dead_bytes or 0
end

function operations.sweep(one)
  local dropped = one.most_dead_bytes and drop_dead(one.most_dead_bytes) or 0
  local expired = expire(one)
  local due = call('ZCOUNT', TIMES, '-inf', now)
  for _, origin in ipairs(call('SMEMBERS', ORIGINS)) do
    due = due + call('ZCARD', ready(origin))
  end
  local oldest = call('ZRANGE', ALIVE, 0, 0, 'WITHSCORES')[2]
  local age = oldest and math.max(0, now - tonumber(oldest)) or cjson.null
  local pending, dead = call('ZCARD', ALIVE), call('ZCARD', DEAD)
  mend_bytes(pending, dead)
  return { expired, dropped, pending, due, dead, age }
end

function operations.probe(one)
  call('SET', PROBE, string.rep('x', one.bytes))
  call('DEL', PROBE)
  return cjson.null
end

function operations.mark(one)
  call('HSET', MARKS, one.name, one.text)
  return cjson.null
end

function operations.unmark(one)
  return call('HDEL', MARKS, one.name) == 1
end

function operations.marks()
  return call('HGETALL', MARKS)
end

function operations.ids(one)
  local ids = {}
  for _, key in ipairs(one.dead == nil and { ALIVE, DEAD } or { one.dead and DEAD or ALIVE }) do
    for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
      ids[#ids + 1] = id
    end
  end
  return ids
end

local function shown(row)
  local name = row.reason and 'dead' or row.lease and 'leased' or 'due'
  local age = math.max(0, now - (tonumber(row.created) or row.born))
  local last, reason = row.last or cjson.null, row.reason or cjson.null
  return { row.id, row.origin, row.body, name, age, row.attempts, last, reason }
end

function operations.list(one)
  local rows = {}
  for _, id in ipairs(one.ids or operations.ids(one)) do
    local row = read(id)
    if row and (one.dead == nil or one.dead == (row.reason ~= nil)) then
      rows[#rows + 1] = shown(row)
    end
  end
  return rows
end

function operations.revive(one)
  local count = 0
  for _, id in ipairs(one.ids) do
    local row = read(id)
    if row and row.reason then
      call('ZREM', DEAD, id)
      call('HSET', key_of(id), 'created', row.created or row.born, 'born', now, 'attempts', 0)
      call('HDEL', key_of(id), 'reason')
      call('ZADD', ALIVE, now, id)
      make_due(row, now)
      pending_bytes, dead_bytes = pending_bytes + weight(row.body), dead_bytes - weight(row.body)
      count = count + 1
    end
  end
  return count
end

function operations.purge(one)
  local count = 0
  for _, id in ipairs(one.ids) do
    count = count + (delete_dead(id) and 1 or 0)
  end
  return count
end
