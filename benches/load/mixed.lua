-- GET /health and GET /users/{user_id} by turns, as users.lua does it; every status is looked at.
--   wrk -s benches/load/mixed.lua http://127.0.0.1:8080 -- 100000
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

function init(args)
  users = tonumber(args[1]) or 100000
  check_statuses()
  math.randomseed(seed)
  before_id, after_id = "GET /users/", end_of_request()
  get_health = "GET /health" .. after_id
  turn = 0
end

function request()
  turn = 1 - turn
  if turn == 0 then
    return get_health
  end
  return before_id .. math.random(users) .. after_id
end
