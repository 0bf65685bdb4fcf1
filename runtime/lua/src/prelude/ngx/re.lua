-- ngx.re and the modules ngx.re and resty.core.regex, with OpenResty's results and errors.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local find_fast, replace_fast, compile_fast = C.re_find, C.re_replace, C.re_compile
local type, error, setmetatable, tonumber = type, error, setmetatable, tonumber
local sub, format = string.sub, string.format
local regex = pl.part("regex")
local flags_of, further, collect = regex.flags, regex.further, regex.collect
local tostring = pl.tostring

-- Bytes of a message, as there.
local MESSAGE_MAX = 255
local PATTERN, MATCH, TEMPLATE = -1, -2, -3

local function message(code)
  if code == PATTERN then
    return (sub("pcre2_compile() failed: " .. text(window.ptr, window.len), 1, MESSAGE_MAX))
  end
  if code == MATCH then return "pcre_exec() failed: " .. window.num end
  if code == TEMPLATE then
    pl.log.error(text(window.ptr, window.len))
    return "failed to compile the replacement template"
  end
  return "result too large"
end

local function read(letters)
  if letters == nil then return 0 end
  local flags, unknown = flags_of(letters)
  if not flags then error(format('unknown flag "%s" (flags "%s")', unknown, letters), 3) end
  return flags
end

-- Where a search begins, from 0.
local function start_of(ctx)
  local pos = ctx and ctx.pos
  if not pos or pos <= 0 then return 0 end
  return pos - 1
end

local re = {}

function re.match(subject, pattern, letters, ctx, captures)
  if type(subject) ~= "string" then subject = tostring(subject) end
  local flags = read(letters)
  local start = start_of(ctx)
  local matched = find_fast(window, pattern, #pattern, flags, subject, #subject, start)
  if matched == 0 then return nil end
  if matched < 0 then return nil, message(matched) end
  if ctx then ctx.pos = window.to + 1 end
  return collect(subject, flags, captures)
end

function re.find(subject, pattern, letters, ctx, nth)
  if type(subject) ~= "string" then subject = tostring(subject) end
  local flags = read(letters)
  local start = start_of(ctx)
  local matched = find_fast(window, pattern, #pattern, flags, subject, #subject, start)
  if matched == 0 then return nil end
  if matched < 0 then return nil, nil, message(matched) end
  if ctx then ctx.pos = window.to + 1 end
  if not nth or nth <= 0 then return window.from + 1, window.to end
  if nth > window.len2 then return nil, nil, "nth out of bound" end
  local from = window.groups[2 * nth]
  if from < 0 then return nil, nil end
  return from + 1, window.groups[2 * nth + 1]
end

-- An iterator is a table: making one compiles, making a closure does not.
local Matches = {}

function Matches.__call(at)
  local subject, pattern, flags = at.subject, at.pattern, at.flags
  if not subject then return nil end
  local matched = find_fast(window, pattern, #pattern, flags, subject, #subject, at.start)
  if matched <= 0 then
    at.subject = nil
    if matched == 0 then return nil end
    return nil, message(matched)
  end
  at.start, at.flags = window.len, further(flags)
  if at.start > #subject then at.subject = nil end
  return collect(subject, flags)
end

function re.gmatch(subject, pattern, letters)
  if type(subject) ~= "string" then subject = tostring(subject) end
  local flags = read(letters)
  local code = compile_fast(window, pattern, #pattern, flags)
  if code < 0 then return nil, message(code) end
  return (setmetatable({ subject = subject, pattern = pattern, flags = flags, start = 0 }, Matches))
end

-- In a function of its own: one that makes closures does not compile.
local function replace_by(subject, pattern, with, flags, once)
  local function by(captures) return (tostring(with(captures))) end
  local replaced, count = regex.replace_by(subject, pattern, flags, by, once)
  if not replaced then return nil, nil, message(count) end
  return replaced, count
end

local function replace(subject, pattern, with, letters, once)
  if type(subject) ~= "string" then subject = tostring(subject) end
  local flags = 0
  if letters ~= nil then
    local unknown
    flags, unknown = flags_of(letters)
    if not flags then error(format('unknown flag "%s" (flags "%s")', unknown, letters), 2) end
  end
  if type(with) == "function" then return replace_by(subject, pattern, with, flags, once) end
  if type(with) ~= "string" then with = tostring(with) end
  local count = replace_fast(window, pattern, #pattern, flags, subject, #subject, with, #with,
    once and 1 or 0)
  if count < 0 then return nil, nil, message(count) end
  if count == 0 then return subject, 0 end
  return text(window.ptr, window.len), count
end

function re.sub(subject, pattern, with, letters)
  return replace(subject, pattern, with, letters, true)
end

function re.gsub(subject, pattern, with, letters)
  return replace(subject, pattern, with, letters, false)
end

local module = { version = "0.1.33" }

function module.split(subject, pattern, letters, ctx, max, pieces)
  if type(subject) ~= "string" then subject = tostring(subject) end
  local pos = ctx and ctx.pos or 1
  if pieces == nil then
    pieces = {}
  elseif type(pieces) ~= "table" then
    error("res is not a table", 2)
  end
  if pos > #subject then
    pieces[1] = nil
    return pieces
  end
  local flags = read(letters)
  if not max or max <= 0 then max = nil end
  local start = pos > 1 and pos - 1 or 0
  local split, code = regex.split(subject, pattern, flags, max, start, pieces)
  if not split then return nil, message(code) end
  return split
end

function module.opt(option, value)
  if option ~= "jit_stack_size" then error("unrecognized option name", 2) end
  local size = tonumber(value)
  if not size then error("bad jit_stack_size: number expected, got " .. type(value), 2) end
  if C.re_stack(window, size) < 0 then error(text(window.ptr, window.len), 2) end
end

return function(ngx, world)
  ngx.re = re
  world.preload["ngx.re"] = function() return module end
  world.preload["resty.core.regex"] = function()
    return { version = "0.1.33", set_buf_grow_ratio = function() end }
  end
end
