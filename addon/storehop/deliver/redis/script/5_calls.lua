-- The operations on a call's way. What they mean says storehop.deliver.operations.

local operations = {}

function operations.accept(one)
  local earlier = one.answer and remember(one.answer)
  if earlier then
    return earlier
  end
  local ends = now + one.hold_ms + one.lease_ms
  call('HSET', key_of(one.id), 'body', one.body, 'origin', one.origin, 'born', now, 'lease', one.lease, 'until', ends)
  call('ZADD', ALIVE, now, one.id)
  call('ZADD', TIMES, ends, one.id)
  pending_bytes = pending_bytes + weight(one.body)
  if one.hold_ms > 0 then
    call('HSET', key_of(one.id), 'held', 1)
  end
  if one.retry then
    keep_answer(one.retry)
  end
  return true
end

function operations.withdraw(one)
  local row = held_by(one)
  if not row then
    return false
  end
  delete(row)
  local own = one.answer
  if own then
    local text, ends = answer_of(own.key)
    if text == own.text then
      call('SET', answer_key(own.key), ends .. ' ' .. one.text, 'KEEPTTL')
    end
  end
  return true
end

function operations.amend(one)
  local row = read(one.id)
  if not (row and row.held) then
    return cjson.null
  end
  leave_queue(row)
  pending_bytes = pending_bytes + #one.body - #row.body
  call('HSET', key_of(row.id), 'body', one.body, 'origin', one.origin)
  row.origin = one.origin
  lease(row, one.lease, one.lease_ms)
  return { row.attempts + 1, math.max(0, now - row.born) }
end

function operations.claim(one)
  local budget = one.rate > 0 and budget_of(one.rate) or one.most
  local most, leased = math.min(one.most, math.floor(budget)), {}
  for place, row in ipairs(most > 0 and candidates(one) or {}) do
    if place > most then
      break
    end
    lease(row, one.lease .. '.' .. (place - 1), one.lease_ms)
    leased[place] = { row.id, row.origin, row.body, row.attempts + 1, math.max(0, now - row.born) }
  end
  if one.rate > 0 and #leased > 0 then
    spend(budget - #leased)
  end
  return leased
end

function operations.extend(one)
  local row = held_by(one)
  if row then
    lease(row, one.lease, one.lease_ms)
  end
  return row ~= nil
end

function operations.settle(one)
  local row = held_by(one)
  if not row then
    return false
  end
  if one.verdict == 'delivered' then
    delete(row)
    return true
  end
  call('HSET', key_of(row.id), 'attempts', row.attempts + one.spent)
  if one.last then
    call('HSET', key_of(row.id), 'last', one.last)
  end
  if one.verdict == 'retry' then
    make_due(row, now + one.ms)
  else
    bury(row, one.reason)
  end
  return true
end

function operations.release(one)
  local count, prefix = 0, one.holder .. ':'
  for _, id in ipairs(one.ids or call('ZRANGE', ALIVE, 0, -1)) do
    local token = call('HGET', key_of(id), 'lease')
    if token and token:sub(1, #prefix) == prefix then
      make_due(read(id), now)
      count = count + 1
    end
  end
  return count
end

function operations.remember(one)
  return remember(one.answer) or cjson.null
end

function operations.recall(one)
  return answer_of(one.key) or cjson.null
end

function operations.forget(one)
  local value = call('GET', answer_key(one.key))
  local is_it = value and value:match('^%d+ (.*)$') == one.text
  return is_it and call('DEL', answer_key(one.key)) == 1 or false
end
