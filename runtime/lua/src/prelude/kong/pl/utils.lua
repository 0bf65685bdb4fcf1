-- pl.utils: the functions that plugins use of it.
local type, select, error, unpack, tostring = type, select, error, unpack, tostring
local find, sub = string.find, string.sub
local getmetatable, load = getmetatable, load

local utils = { _VERSION = "1.14.0", lua51 = true, jit = true, is_windows = false, dir_separator = "/" }

function utils.split(text, pattern, plain, most)
  pattern = pattern or "%s+"
  if pattern == "" then return { text } end
  local parts, at = {}, 1
  while true do
    local from, to = find(text, pattern, at, plain)
    if not from or to < from or most and #parts + 1 == most then
      local last = sub(text, at)
      if last ~= "" then parts[#parts + 1] = last end
      if #parts == 1 and parts[1] == "" then return {} end
      return parts
    end
    parts[#parts + 1] = sub(text, at, from - 1)
    at = to + 1
  end
end

function utils.splitv(...) return unpack(utils.split(...)) end
function utils.pack(...) return { n = select("#", ...), ... } end
function utils.unpack(list, from, to) return unpack(list, from or 1, to or list.n or #list) end

function utils.escape(text) return (text:gsub("[%-.+%[%]()$^%%?*]", "%%%0")) end

function utils.is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

function utils.is_type(value, kind)
  if type(kind) == "string" then return type(value) == kind end
  return getmetatable(value) == kind
end

function utils.assert_arg(index, value, kind, check, text, level)
  if type(value) ~= kind then
    error(("argument %d expected a '%s' got a '%s'"):format(index, kind, type(value)), level or 2)
  end
  if check and not check(value) then
    error(("argument %d: '%s' %s"):format(index, tostring(value), text or "is not valid"), level or 2)
  end
  return value
end

function utils.assert_string(index, value) return utils.assert_arg(index, value, "string", nil, nil, 3) end
function utils.choose(which, yes, no) if which then return yes end return no end
function utils.raise(text) return nil, text end

function utils.array_tostring(list, out, as_text)
  out, as_text = out or {}, as_text or tostring
  for index = 1, #list do out[index] = as_text(list[index], index) end
  return out
end

function utils.memoize(fn)
  local kept = {}
  return function(key)
    if kept[key] == nil then kept[key] = fn(key) end
    return kept[key]
  end
end

function utils.function_arg(index, fn, text)
  if utils.is_callable(fn) then return fn end
  error(text or "argument " .. index .. " must be callable", 3)
end

function utils.bind1(fn, value) return function(...) return fn(value, ...) end end
function utils.load(code, name, mode, env) return load(code, name, mode, env) end

-- Warnings of deprecated functions go where they are sent.
local report
function utils.set_deprecation_func(fn) report = fn end
function utils.raise_deprecation(about)
  if not report then return end
  local text = about.message
  if about.deprecated_after then text = text .. " (deprecated after " .. about.deprecated_after .. ")" end
  report(text)
end

-- Scripts have files where `[lua] io` grants them.
function utils.readfile(name, binary)
  if not io then return nil, name .. ": scripts have no files here" end
  local file, why = io.open(name, binary and "rb" or "r")
  if not file then return nil, why end
  local text = file:read("*a")
  file:close()
  return text
end

function utils.executeex() return false, 1, "", "scripts have no processes" end
utils.execute = utils.executeex

return utils
