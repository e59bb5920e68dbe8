-- GET /health, sixteen requests in one write: a client that does not wait for each answer. With a
-- second argument `check` every status is looked at; the first, the number of users, is for others.
--   wrk -s benches/load/pipelined.lua http://127.0.0.1:8080 -- 100000 check
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

local depth = 16

function init(args)
  if args[2] == "check" then
    check_statuses()
  end
  sixteen = string.rep("GET /health" .. end_of_request(), depth)
end

function request()
  return sixteen
end
