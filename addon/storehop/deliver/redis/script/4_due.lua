-- Which calls may be claimed, newest first.

-- Somebody has deleted the call's key.
local function forget(id, queue_key)
  call('ZREM', queue_key, id)
  call('ZREM', ALIVE, id)
end

-- Moves calls whose time has come to :ready, the last ones first: these are mostly the newest.
local function find_due()
  for _, id in ipairs(call('ZRANGE', TIMES, now, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, AT_ONCE)) do
    local row = read(id)
    if row then
      call('ZREM', TIMES, id)
      call('ZADD', ready(row.origin), row.born, id)
      call('SADD', ORIGINS, row.origin)
    else
      forget(id, TIMES)
    end
  end
end

local function is_among(values, value)
  for _, one in ipairs(values) do
    if one == value then
      return true
    end
  end
  return false
end

local function is_wanted(origin, one)
  return (one.only == '' or one.only == origin) and not is_among(one.but, origin)
end

local function wanted_origins(one)
  local wanted = {}
  for _, origin in ipairs(call('SMEMBERS', ORIGINS)) do
    if call('ZCARD', ready(origin)) == 0 then
      call('SREM', ORIGINS, origin)
    elseif is_wanted(origin, one) then
      wanted[#wanted + 1] = origin
    end
  end
  return wanted
end

local function is_due(row, one)
  return not row.reason and row['until'] <= now - one.overdue_ms
end

local function add_newest(rows, origin, one)
  local first, found = 0, 0
  repeat
    local ids = call('ZRANGE', ready(origin), first, first + PAGE - 1, 'REV')
    for _, id in ipairs(ids) do
      local row = read(id)
      if not row then
        forget(id, ready(origin))
      elseif is_due(row, one) then
        rows[#rows + 1], found = row, found + 1
      end
      first = first + (row and 1 or 0)
    end
  until #ids < PAGE or found >= one.most or first >= AT_ONCE
end

local function add_of(rows, ids, one)
  for _, id in ipairs(ids) do
    local row = read(id)
    if row and is_due(row, one) and is_wanted(row.origin, one) then
      rows[#rows + 1] = row
    end
  end
end

local function candidates(one)
  local rows = {}
  if one.ids then
    add_of(rows, one.ids, one)
  else
    find_due()
    for _, origin in ipairs(wanted_origins(one)) do
      add_newest(rows, origin, one)
    end
  end
  table.sort(rows, function(a, b)
    return a.born > b.born
  end)
  return rows
end

-- A bucket that fills at `rate` calls a second, for all hosts together.
local function budget_of(rate)
  local left, at = tonumber(state[5]) or 0, tonumber(state[6]) or 0
  return math.min(math.max(1, rate * BUDGET_S), left + rate * (now - at) / 1000)
end

local function spend(budget)
  state[5], state[6] = budget, now
  call('HSET', STATE, 'budget', budget, 'budget_at', now)
end
