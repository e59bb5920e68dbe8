-- GET /health and nothing else. With `-- check` every status is looked at:
--   wrk -s benches/load/health.lua http://127.0.0.1:8080 -- check
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

wrk.path = "/health"

function init(args)
  if args[1] == "check" then
    check_statuses()
  end
  get_health = "GET /health" .. end_of_request()
end

function request()
  return get_health
end
