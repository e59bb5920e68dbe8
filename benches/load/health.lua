-- GET /health and nothing else. With a second argument `check` every status is looked at; the
-- first, the number of users, is for the other loads.
--   wrk -s benches/load/health.lua http://127.0.0.1:8080 -- 100000 check
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

function init(args)
  if args[2] == "check" then
    check_statuses()
  end
  get_health = "GET /health" .. end_of_request()
end

function request()
  return get_health
end
