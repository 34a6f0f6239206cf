-- What clicks were answered. Redis deletes what has expired, but its clock may be set back: so the time stands in the
-- text.

-- The text that counts, and when it ends; nil where there is none.
local function answer_of(key)
  local value = call('GET', answer_key(key))
  if not value then
    return nil
  end
  local ends, text = value:match('^(%d+) (.*)$')
  return tonumber(ends) > now and text or nil, ends
end

local function keep_answer(answer)
  if answer.ms > 0 then
    local value = string.format('%.0f ', now + answer.ms) .. answer.text -- %s would end at a NUL
    call('SET', answer_key(answer.key), value, 'PX', answer.ms)
  end
end

-- The text that counts already; else nil, and this one counts now.
local function remember(answer)
  local earlier = answer_of(answer.key)
  if not earlier then
    keep_answer(answer)
  end
  return earlier
end
