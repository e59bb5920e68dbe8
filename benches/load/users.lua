-- GET /users/{user_id} with random ids from 1 to the number of users. With `check` after that
-- number every status is looked at: a deleted user is rightly 404, else only 200 is right.
--   wrk -s benches/load/users.lua http://127.0.0.1:8080 -- 100000 check
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

function init(args)
  users = tonumber(args[1]) or 100000
  if args[2] == "check" then
    check_statuses()
  end
  math.randomseed(seed)
  before_id, after_id = "GET /users/", end_of_request()
end

function request()
  return before_id .. math.random(users) .. after_id
end
