-- kong.tools.timestamp: where seconds, minutes, ... years begin, in UTC and milliseconds.
local floor, date = math.floor, os.date

local DAY = 86400
-- A number past this (the year 20000) counts milliseconds.
local MILLISECONDS = 568971820800

local timestamp = {
  timestamp_table_fields = { "second", "minute", "hour", "day", "month", "year" },
}

local function now_ms()
  ngx.update_time()
  return ngx.now() * 1000
end

-- Days from 1970-01-01 to the first of a month (Howard Hinnant's way).
local function days_to(year, month)
  local shifted = month <= 2 and year - 1 or year
  local era = floor(shifted / 400)
  local of_era = shifted - era * 400
  local of_year = floor((153 * ((month + 9) % 12) + 2) / 5)
  return era * 146097 + of_era * 365 + floor(of_era / 4) - floor(of_era / 100) + of_year - 719468
end

local function seconds_of(now)
  now = now or now_ms()
  return (floor(now > MILLISECONDS and now / 1000 or now))
end

function timestamp.get_utc() return floor(now_ms() / 1000) * 1000 end
function timestamp.get_utc_ms() return now_ms() end

local Timetable = {
  __index = {
    timestamp = function(t)
      return (days_to(t.year, t.month) + t.day - 1) * DAY + t.hour * 3600 + t.min * 60 + t.sec
    end,
  },
}

function timestamp.get_timetable(now)
  local t = date("!*t", seconds_of(now))
  return (setmetatable({
    year = t.year, month = t.month, day = t.day, hour = t.hour, min = t.min, sec = t.sec,
    yday = t.yday, wday = t.wday,
  }, Timetable))
end

function timestamp.get_timestamps(now)
  local second = seconds_of(now)
  local t = date("!*t", second)
  local month = days_to(t.year, t.month)
  return {
    second = second * 1000,
    minute = (second - second % 60) * 1000,
    hour = (second - second % 3600) * 1000,
    day = (second - second % DAY) * 1000,
    month = month * DAY * 1000,
    year = days_to(t.year, 1) * DAY * 1000,
  }
end

return timestamp
