-- kong.log: messages, each with the place that it is written at; `serialize` for plugins that log.
local inspect = require "inspect"
local serialize = require "kong.pdk.private.serialize"
local _, dialect = ...

local getinfo, logs = dialect.getinfo, dialect.logs
local raw_log = require("ngx.errlog").raw_log
local type, error, select, tostring, setmetatable = type, error, select, tostring, setmetatable
local concat, rep = table.concat, string.rep

local PREFIX = "[kong] "
local DEFAULT = "%file_src:%line_src %message"
local NAMESPACED = "%file_src:%line_src [%namespace] %message"

local levels = {
  debug = ngx.DEBUG, info = ngx.INFO, notice = ngx.NOTICE, warn = ngx.WARN, err = ngx.ERR,
  crit = ngx.CRIT, alert = ngx.ALERT, emerg = ngx.EMERG,
}

-- What a format may name, of the function that logs.
local modifiers = {
  ["%file_src"] = function(info) return info.short_src and info.short_src:match("[^/]*$") end,
  ["%line_src"] = function(info) return info.currentline and tostring(info.currentline) end,
  ["%func_name"] = function(info) return info.name end,
}

-- Text and names of modifiers in turn; whether any is about the caller.
local function parse(format)
  local parts, looks, at = {}, false, 1
  while true do
    local from, name, behind = format:match("()(%%[a-z_]+)()", at)
    if not from then break end
    local escaped = format:sub(from - 1, from - 1) == "%"
    if not escaped and (modifiers[name] or name == "%message") then
      parts[#parts + 1] = format:sub(at, from - 1)
      parts[#parts + 1] = name
      looks = looks or modifiers[name] ~= nil
    else
      parts[#parts + 1] = format:sub(at, behind - 1)
      parts[#parts + 1] = ""
    end
    at = behind
  end
  parts[#parts + 1] = format:sub(at)
  return { parts = parts, looks = looks }
end

local function join(separator, as_text, ...)
  local count = select("#", ...)
  if count == 1 then return as_text((...)) end
  local texts = {}
  for index = 1, count do texts[index] = as_text((select(index, ...))) end
  return (concat(texts, separator))
end

local function render(format, info, message)
  local out = {}
  for index = 1, #format.parts do
    local part = format.parts[index]
    if index % 2 == 1 then
      out[index] = part
    elseif part == "%message" then
      out[index] = message
    else
      local modifier = modifiers[part]
      out[index] = modifier and (info and modifier(info) or "?") or ""
    end
  end
  return (concat(out))
end

-- `depth`: the caller, from the function that this makes.
local function writer(level, format, depth)
  return function(...)
    if not logs(level) then return end
    local info = format.looks and getinfo(depth or 2, "Sln")
    raw_log(level, render(format, info, join("", tostring, ...)))
  end
end

-- Values for people, in a box.
local WIDTH = 120
local function boxed(text)
  local head, body = text:match("^([^\n]*)\n(.*)$")
  local lines = { head .. rep("-", WIDTH - #head + 2) .. "+" }
  for line in (body .. "\n"):gmatch("(.-)\n") do
    repeat
      local piece = line:sub(1, WIDTH)
      line = line:sub(WIDTH + 1)
      lines[#lines + 1] = "|" .. piece .. rep(" ", WIDTH - #piece) .. "|"
    until line == ""
  end
  lines[#lines + 1] = "+" .. rep("-", WIDTH) .. "+"
  return lines
end

local function inspector(namespace)
  local format = parse(PREFIX .. "%file_src:%func_name:%line_src [" .. namespace .. "]\n%message")
  local self = {}
  local function print(...)
    if not logs(ngx.NOTICE) then return end
    local text = render(format, getinfo(3, "Sln"), join(" ", inspect, ...))
    for _, line in ipairs(boxed(text)) do raw_log(ngx.NOTICE, line) end
  end
  function self.on() self.print = print end
  function self.off() self.print = function() end end
  self.on()
  return (setmetatable(self, { __call = function(me, ...) me.print(...) end }))
end

local Log = {}
Log.__index = Log
function Log.__call(log, ...) return log.notice(...) end

local function check_text(what, value, optional)
  if value == nil and optional then return end
  if type(value) ~= "string" then
    error(what .. " must be a string" .. (optional and " if specified" or ""), 3)
  end
  if value == "" then
    error(what .. " cannot be an empty string" .. (optional and " if specified" or ""), 3)
  end
end

function Log.new(namespace, format)
  check_text("namespace", namespace)
  check_text("format", format, true)
  local log = {}
  function log.set_format(text)
    if text ~= nil and type(text) ~= "string" then error("format must be a string", 2) end
    text = (text or NAMESPACED):gsub("%%namespace", (namespace:gsub("%%", "%%%%")))
    local parsed = parse(PREFIX .. text)
    for name, level in pairs(levels) do log[name] = writer(level, parsed) end
    local warn = writer(ngx.WARN, parsed, 4)
    log.deprecation = setmetatable({ write = warn }, {
      __call = function(_, ...) return require("kong.deprecation").raise(...) end,
    })
  end
  log.set_format(format)
  log.inspect = inspector(namespace)
  log.trace = function() end
  log.set_serialize_value = serialize.set
  log.serialize = serialize.serialize
  return (setmetatable(log, Log))
end

local core = Log.new("core", DEFAULT)

-- `kong.log` is the plugin's own while it runs.
local function current()
  local ctx = dialect.ctx()
  return ctx and ctx.KONG_LOG or core
end

return { current = current, new = Log.new }
