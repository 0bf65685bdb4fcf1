-- gateway.re: regular expressions with PCRE's syntax.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local find_fast, replace_fast = C.re_find, C.re_replace
local type, error, setmetatable, stock_tostring = type, error, setmetatable, tostring
local regex = pl.part("regex")
local flags_of, further, collect = regex.flags, regex.further, regex.collect

-- What a match can fail with, by its code; PCRE2's errors by their numbers.
local FAILED = { [-1] = "pattern", [-3] = "replacement", [-4] = "result" }
local ERRORS = {
  [-33] = "the start is behind the end",
  [-36] = "the start is inside a character",
  [-47] = "the match takes too many steps",
  [-48] = "no memory for the match",
  [-53] = "the match goes too deep",
  [-63] = "the match takes too much memory",
}

local function fail(name, code, level)
  local what = FAILED[code]
  if what == "result" then
    what = "result too large"
  elseif what then
    what = "bad " .. what .. ": " .. text(window.ptr, window.len)
  else
    local number = window.num
    what = ERRORS[number]
      or number > -24 and "the text is not UTF-8"
      or "the match failed (" .. number .. ")"
  end
  error("re." .. name .. ": " .. what, level + 1)
end

local function str(value, what, name, level)
  if type(value) == "string" then return value end
  if type(value) == "number" then return (stock_tostring(value)) end
  error("re." .. name .. " takes a string as its " .. what .. ", not a " .. type(value), level)
end

local function arguments(name, subject, pattern, letters)
  subject, pattern = str(subject, "text", name, 4), str(pattern, "pattern", name, 4)
  if letters == nil then return subject, pattern, 0 end
  local flags, unknown = flags_of(str(letters, "flags", name, 4))
  if not flags then error("re." .. name .. ": there is no flag '" .. unknown .. "'", 3) end
  return subject, pattern, flags
end

-- As in string.find: a position from 1, or from the end when below 0.
local function start_of(init, length)
  if init == nil then return 0 end
  if type(init) ~= "number" then error("a position must be a number", 3) end
  if init < 0 then init = length + init + 1 end
  return init > 1 and init - 1 or 0
end

local re = {}

function re.match(subject, pattern, letters, init)
  local flags
  subject, pattern, flags = arguments("match", subject, pattern, letters)
  local start = start_of(init, #subject)
  if start > #subject then return nil end
  local matched = find_fast(window, pattern, #pattern, flags, subject, #subject, start)
  if matched == 0 then return nil end
  if matched < 0 then fail("match", matched, 2) end
  return collect(subject, flags)
end

function re.find(subject, pattern, letters, init)
  local flags
  subject, pattern, flags = arguments("find", subject, pattern, letters)
  local start = start_of(init, #subject)
  if start > #subject then return nil end
  local matched = find_fast(window, pattern, #pattern, flags, subject, #subject, start)
  if matched == 0 then return nil end
  if matched < 0 then fail("find", matched, 2) end
  return window.from + 1, window.to
end

local Matches = { __metatable = "matches" }

function Matches.__call(at)
  local subject, pattern, flags = at.subject, at.pattern, at.flags
  if not subject then return nil end
  local matched = find_fast(window, pattern, #pattern, flags, subject, #subject, at.start)
  if matched == 0 then
    at.subject = nil
    return nil
  end
  if matched < 0 then fail("gmatch", matched, 2) end
  at.start, at.flags = window.len, further(flags)
  if at.start > #subject then at.subject = nil end
  return collect(subject, flags)
end

function re.gmatch(subject, pattern, letters)
  local flags
  subject, pattern, flags = arguments("gmatch", subject, pattern, letters)
  local code = C.re_compile(window, pattern, #pattern, flags)
  if code < 0 then fail("gmatch", code, 2) end
  return (setmetatable({ subject = subject, pattern = pattern, flags = flags, start = 0 }, Matches))
end

-- In a function of its own: one that makes closures does not compile.
local function replace_by(name, once, subject, pattern, with, flags)
  local function by(captures)
    local piece = with(captures)
    if not piece then return false end
    return str(piece, "replacement", name, 4)
  end
  local replaced, count = regex.replace_by(subject, pattern, flags, by, once)
  if not replaced then fail(name, count, 2) end
  return replaced, count
end

local function replace(name, once, subject, pattern, with, letters)
  local flags
  subject, pattern, flags = arguments(name, subject, pattern, letters)
  if type(with) == "function" then
    return replace_by(name, once, subject, pattern, with, flags)
  end
  with = str(with, "replacement", name, 3)
  local count = replace_fast(window, pattern, #pattern, flags, subject, #subject, with, #with,
    once and 1 or 0)
  if count < 0 then fail(name, count, 2) end
  if count == 0 then return subject, 0 end
  return text(window.ptr, window.len), count
end

function re.sub(subject, pattern, with, letters)
  return replace("sub", true, subject, pattern, with, letters)
end

function re.gsub(subject, pattern, with, letters)
  return replace("gsub", false, subject, pattern, with, letters)
end

function re.split(subject, pattern, letters, max)
  local flags
  subject, pattern, flags = arguments("split", subject, pattern, letters)
  if max ~= nil and type(max) ~= "number" then error("re.split: max must be a number", 2) end
  if subject == "" then return {} end
  if not max or max <= 0 then max = nil end
  local pieces, code = regex.split(subject, pattern, flags, max, 0, {})
  if not pieces then fail("split", code, 2) end
  return pieces
end

return re
