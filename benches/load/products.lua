-- GET /products: pages of 50 after random ones of the shop's 50,000 products, always full. With a
-- second argument `check` every status is looked at; the first, the number of users, is for others.
--   wrk -s benches/load/products.lua http://127.0.0.1:8080 -- 100000 check
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

local last_full_page = 49000

function init(args)
  if args[2] == "check" then
    check_statuses()
  end
  math.randomseed(seed)
  before_id, after_id = "GET /products?limit=50&after=", end_of_request()
end

function request()
  return before_id .. math.random(0, last_full_page) .. after_id
end
