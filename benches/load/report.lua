-- Shared by the loads of this directory: seeds each thread's random numbers, counts wrong answers,
-- and ends a run with one line that scripts/bench reads (all times in microseconds).
--
-- wrk itself counts statuses of 400 and more, for nothing. `check_statuses`, called from a load's
-- init, also counts those that are neither 200 nor 404, which costs wrk a quarter of its speed.

local threads = {}
local percentiles = { 50, 75, 90, 95, 99, 99.9, 99.99, 99.999 }

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("seed", os.time() * 64 + #threads)
  thread:set("unexpected", 0)
end

function check_statuses()
  function response(status)
    if status ~= 200 and status ~= 404 then
      unexpected = unexpected + 1
    end
  end
end

-- Everything of a GET request that stands after its path.
function end_of_request()
  return " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n\r\n"
end

function done(summary, latency, requests)
  local unexpected = 0
  for _, thread in ipairs(threads) do
    unexpected = unexpected + thread:get("unexpected")
  end
  local errors = summary.errors
  io.write(string.format(
    "result: requests=%d duration_us=%d status_400_up=%d unexpected=%d socket_errors=%d",
    summary.requests, summary.duration, errors.status, unexpected,
    errors.connect + errors.read + errors.write + errors.timeout))
  for _, percentile in ipairs(percentiles) do
    io.write(string.format(" p%g=%d", percentile, latency:percentile(percentile)))
  end
  io.write("\n")
end
