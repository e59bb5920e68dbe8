-- One decision of the generic cell rate algorithm, whole or not at all.
-- KEYS[1]: the client's key; it holds the time at which all of the burst is back, as "MICROSECONDS NANOSECONDS".
-- ARGV: the interval of one request, the tolerance (interval * (burst - 1)), each in microseconds and
-- nanoseconds below one; and in tests the time now in microseconds since 1970.
-- Numbers are doubles here, exact up to 2^53: microseconds since 1970 until the year 2255.
local interval, interval_ns = tonumber(ARGV[1]), tonumber(ARGV[2])
local tolerance, tolerance_ns = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(ARGV[5])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
-- What the client owes: how far its time is ahead of now.
local owed, owed_ns = 0, 0
local state = redis.call('GET', KEYS[1])
if state then
  local us, ns = string.match(state, '^(%d+) (%d+)$')
  if us and tonumber(us) >= now then
    owed, owed_ns = tonumber(us) - now, tonumber(ns)
  end
end
-- More than this is owed only if the clock was set back: nobody waits for it to come round again.
local whole, whole_ns = tolerance + interval, tolerance_ns + interval_ns
if whole_ns >= 1000 then
  whole, whole_ns = whole + 1, whole_ns - 1000
end
if owed > whole or owed == whole and owed_ns > whole_ns then
  owed, owed_ns = whole, whole_ns
end
if owed > tolerance or owed == tolerance and owed_ns > tolerance_ns then
  return {0, owed, owed_ns}
end
owed, owed_ns = owed + interval, owed_ns + interval_ns
if owed_ns >= 1000 then
  owed, owed_ns = owed + 1, owed_ns - 1000
end
-- It is kept until it says nothing more, rounded up so that it never goes before.
redis.call('SET', KEYS[1], string.format('%.0f %.0f', now + owed, owed_ns), 'PX', string.format('%.0f', math.ceil(owed / 1000) + 1))
return {1, owed, owed_ns}
