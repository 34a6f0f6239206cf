-- The batch itself. What may refuse it comes before what writes.

local function why_not()
  if request.deadline and now > request.deadline then
    return 'late'
  end
  local new, added, takes = {}, 0, false
  for _, one in ipairs(request.run) do
    if one.what == 'accept' then
      if new[one.id] or call('EXISTS', key_of(one.id)) == 1 then
        return 'twice'
      end
      new[one.id], added = true, added + weight(one.body)
    end
    added = added + (one.what == 'probe' and one.bytes or 0)
    takes = takes or one.what == 'accept' or one.what == 'remember' or one.what == 'probe'
  end
  local is_full = request.most_bytes and pending_bytes + dead_bytes + added > request.most_bytes
  return is_full and takes and 'full' or nil
end

local refusal = why_not()
if refusal then
  return cjson.encode({ now = now, refusal = refusal })
end
local results = {}
for place, one in ipairs(request.run) do
  results[place] = operations[one.what](one)
end
if request.writes then
  call('HSET', STATE, 'seen', now, 'ahead', now - clock, 'pending', pending_bytes, 'dead', dead_bytes)
end
return cjson.encode({ now = now, results = results })
