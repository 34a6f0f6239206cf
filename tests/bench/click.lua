-- wrk: one of the given requests after the other, each with an id of its own, and what came back.
-- Arguments: a file of requests divided by NUL, with @ID@ where the id goes, and perhaps @ADDRESS@ where an
-- IPv6 address goes that no other request has; the ids' prefix.

local shapes, prefix, made, thread_number = {}, "", 0, 0
local threads = {}
-- Counted a thread; global, because `done` reads them by name.
direct, passed, plain, failed, number = 0, 0, 0, 0, 0

function setup(thread)
  thread_number = thread_number + 1
  thread:set("number", thread_number)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for shape in file:read("*a"):gmatch("%Z+") do
    local pieces = {}
    for piece in (shape .. "@ID@"):gmatch("(.-)@ID@") do
      table.insert(pieces, piece)
    end
    table.insert(shapes, pieces)
  end
  file:close()
  prefix = args[2] .. number .. "x"
end

function request()
  local shape = shapes[made % #shapes + 1]
  made = made + 1
  local request = table.concat(shape, prefix .. made)
  if #shape > 2 then
    request = request:gsub("@ADDRESS@", string.format("2a00:1450::%x:%x", math.floor(made / 65536), made % 65536))
  end
  return request
end

function response(status, headers)
  local location = headers["Location"] or headers["location"] or ""
  if status == 200 then
    plain = plain + 1
  elseif location:sub(1, 24) == "https://play.google.com/" then
    direct = direct + 1
  elseif location:sub(1, 26) == "https://app.appsflyer.com/" then
    passed = passed + 1
  else
    failed = failed + 1
  end
end

function done(summary, latency)
  local sums = { direct = 0, passed = 0, plain = 0, failed = 0 }
  for _, thread in ipairs(threads) do
    for name, sum in pairs(sums) do
      sums[name] = sum + thread:get(name)
    end
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    'ANSWERS {"seconds": %.6f, "direct": %d, "passed": %d, "plain": %d, "failed": %d}\n',
    summary.duration / 1e6, sums.direct, sums.passed, sums.plain, sums.failed + errors
  ))
end
