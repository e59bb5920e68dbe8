-- GET /api/v1/agents, the whole list. With a second argument `check` every status is looked at; the
-- first, the number of users, is for the other loads.
--   wrk -s benches/load/agents.lua http://127.0.0.1:8080 -- 100000 check
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

function init(args)
  if args[2] == "check" then
    check_statuses()
  end
  get_agents = "GET /api/v1/agents" .. end_of_request()
end

function request()
  return get_agents
end
