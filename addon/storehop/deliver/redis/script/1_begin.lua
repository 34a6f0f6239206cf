-- A batch of operations on an outbox (storehop.deliver.operations), all of it or nothing. The files of this folder are
-- one script, joined in the order of their names.
--
-- KEYS[1] is what the outbox's keys begin with, a hash tag: one slot of a cluster holds them all.
-- ARGV[1] is the request, JSON of storehop.deliver.redis.codec: {run, writes, deadline?, most_bytes?}.
-- Times and durations are milliseconds. Nothing should fail once the first operation has written: where something
-- does, nobody knows what is stored (UnknownError).
--
--   :call:<id>        hash   body origin born created? attempts? last? until; leased: lease, held?; dead: reason
--   :alive            zset   id -> born, of all that is leased or due
--   :times            zset   id -> until: when the lease ends, or when the call is due
--   :ready:<origin>   zset   id -> born, of what ClaimDue found due; it is in :times no more
--   :origins          set    of these
--   :dead             zset   id -> when it died
--   :answer:<key>     string "<until> <text>"
--   :marks            hash   name -> text
--   :state            hash   seen and ahead (the clock), pending and dead (bytes), budget and budget_at

local base, request = KEYS[1], cjson.decode(ARGV[1])
local call = redis.call
local ALIVE, TIMES, ORIGINS, DEAD = base .. ':alive', base .. ':times', base .. ':origins', base .. ':dead'
local MARKS, STATE, PROBE = base .. ':marks', base .. ':state', base .. ':probe'
local CALL_BYTES = 900 -- what Redis needs for a call beside its body, as `make bench-fleet` weighs it
local AT_ONCE = 500 -- calls that one operation moves or looks at: more would hold up the clicks of all hosts
local PAGE = 100
local BUDGET_S = 0.2 -- time whose share of a rate may be claimed at once

local state = call('HMGET', STATE, 'seen', 'ahead', 'pending', 'dead', 'budget', 'budget_at')
local pending_bytes, dead_bytes = tonumber(state[3]) or 0, tonumber(state[4]) or 0

-- The server's clock, which never goes back: where it was set back, ages and leases go on, until it is right again.
local time = call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local seen, ahead = tonumber(state[1]) or 0, tonumber(state[2]) or 0
local now = clock >= seen and clock or math.max(clock + ahead, seen)

local function ready(origin)
  return base .. ':ready:' .. origin
end

local function key_of(id)
  return base .. ':call:' .. id
end

local function answer_key(key)
  return base .. ':answer:' .. key
end

local function weight(body)
  return #body + CALL_BYTES
end
