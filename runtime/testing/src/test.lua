-- `require "pilotlight.test"`, and what runs a test file with it. `host` is host.rs.
local host = gateway.wasm "pilotlight.test"
local type, pairs, ipairs, next, error, tostring = type, pairs, ipairs, next, error, tostring
local rawget, setmetatable, xpcall, pcall = rawget, setmetatable, xpcall, pcall
local load, traceback = load, debug.traceback
local find, format, gsub, lower, sub = string.find, string.format, string.gsub, string.lower, string.sub
local concat, sort = table.concat, table.sort

local t = {}

-- Values as people read them --------------------------------------------------------------------

local TEXT_MAX, LINES_MAX = 200, 40

local function quoted(text)
  local shown = #text > TEXT_MAX and sub(text, 1, TEXT_MAX) or text
  shown = gsub(format("%q", shown), "\\\n", "\\n")
  shown = gsub(shown, "[%c\127-\255]", function(c) return format("\\%03d", c:byte()) end)
  if #text > TEXT_MAX then shown = shown .. "... (" .. #text .. " bytes)" end
  return shown
end

local function plain(value)
  if value == nil then return "nothing" end
  if type(value) == "string" then return quoted(value) end
  return tostring(value)
end

local function is_name(key) return type(key) == "string" and find(key, "^[%a_][%w_]*$") end

local function before(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  if type(a) ~= type(b) then return type(a) < type(b) end
  return tostring(a) < tostring(b)
end

-- Keys in an order; what metatables say of the table counts for nothing.
local function keys(value)
  local all = {}
  for key in next, value do all[#all + 1] = key end
  sort(all, before)
  return all
end

local function shown(value, depth)
  if type(value) ~= "table" then return plain(value) end
  if next(value) == nil then return "{}" end
  if depth == 0 then return "{ ... }" end
  local parts, list = {}, 0
  for _, key in ipairs(keys(value)) do
    local item = shown(rawget(value, key), depth - 1)
    if key == list + 1 then
      list = list + 1
    elseif is_name(key) then
      item = key .. " = " .. item
    else
      item = "[" .. plain(key) .. "] = " .. item
    end
    parts[#parts + 1] = item
  end
  return "{ " .. concat(parts, ", ") .. " }"
end

local function step(path, key)
  if is_name(key) then return path .. "." .. key end
  return path .. "[" .. plain(key) .. "]"
end

-- Where two long strings part.
local function parting(got, want)
  local at = 1
  while at <= #got and got:byte(at) == want:byte(at) do at = at + 1 end
  return " (they part at byte " .. at .. ": " .. quoted(sub(want, at, at + 20)) .. ", "
    .. quoted(sub(got, at, at + 20)) .. ")"
end

local function differ(got, want, path, lines, seen)
  if got == want or (got ~= got and want ~= want) then return end
  if type(got) ~= "table" or type(want) ~= "table" then
    local more = ""
    if type(got) == "string" and type(want) == "string" and #got + #want > TEXT_MAX then
      more = parting(got, want)
    end
    lines[#lines + 1] = (path == "" and "it" or path) .. ": expected " .. shown(want, 3) .. ", got "
      .. shown(got, 3) .. more
    return
  end
  -- What has been compared once needs no other look, and tables may hold themselves.
  if seen[got] and seen[got][want] then return end
  seen[got] = seen[got] or {}
  seen[got][want] = true
  local both = {}
  for key in next, want do both[key] = true end
  for key in next, got do both[key] = true end
  for _, key in ipairs(keys(both)) do
    differ(rawget(got, key), rawget(want, key), step(path, key), lines, seen)
  end
end

-- What a test says ------------------------------------------------------------------------------

local asserted

local function fail(message, what, level)
  if what ~= nil then message = tostring(what) .. ": " .. message end
  asserted = message
  error(message, level + 1)
end

function t.equal(got, want, what)
  if got == want then return got end
  local message = "expected " .. shown(want, 3) .. ", got " .. shown(got, 3)
  if type(got) == "table" and type(want) == "table" then
    message = message .. " (tables are the same by t.same)"
  end
  fail(message, what, 2)
end

function t.same(got, want, what)
  local lines = {}
  differ(got, want, "", lines, {})
  if not lines[1] then return got end
  if #lines > LINES_MAX then
    lines[LINES_MAX + 1] = "and " .. #lines - LINES_MAX .. " more"
    for index = #lines, LINES_MAX + 2, -1 do lines[index] = nil end
  end
  fail(lines[2] and "they differ\n  " .. concat(lines, "\n  ") or lines[1], what, 2)
end

-- fn fails; its message, in which `pattern` is found.
function t.fails(fn, pattern, what)
  local ok, why = pcall(fn)
  if ok then fail("expected an error, got none", what, 2) end
  why = tostring(why)
  if pattern and not find(why, pattern) then
    fail("expected an error with " .. plain(pattern) .. ", got " .. plain(why), what, 2)
  end
  asserted = nil
  return why
end

-- Tables of messages ----------------------------------------------------------------------------

-- The name that is nearest to one that nobody knows is seldom far away: all are said.
local function check(what, value, known, level)
  if type(value) ~= "table" then
    error(what .. " is a table, not a " .. type(value), level + 1)
  end
  for key in next, value do
    if not known[key] then
      local names = concat(keys(known), ", ")
      error(what .. " has no " .. plain(key) .. "; it has " .. names, level + 1)
    end
  end
end

local function set(names)
  local all = {}
  for name in names:gmatch("%S+") do all[name] = true end
  return all
end

local REQUEST = set [[method scheme host path query version headers body trailers client tls id
  response]]
local RESPONSE = set "status headers body trailers"
local STAND_IN = set "status headers body error delay"

-- A string stands for a body.
local function response_of(value, known, what, level)
  if type(value) == "string" then return { body = value } end
  check(what, value, known, level + 1)
  return value
end

local Headers = {
  __index = function(headers, name)
    local plain_name = type(name) == "string" and lower(name)
    if plain_name ~= name then return rawget(headers, plain_name) end
  end,
}

-- A list of pairs as a table; a name that stands there more than once has a list.
local function headers_of(list)
  if not list then return nil end
  local headers = {}
  for _, pair in ipairs(list) do
    local name, value = pair[1], pair[2]
    local known = headers[name]
    if known == nil then
      headers[name] = value
    elseif type(known) == "table" then
      known[#known + 1] = value
    else
      headers[name] = { known, value }
    end
  end
  return setmetatable(headers, Headers)
end

local function message_of(message)
  if not message then return nil end
  message.headers, message.trailers = headers_of(message.headers), headers_of(message.trailers)
  return message
end

-- What goes on beside the test ------------------------------------------------------------------

local stand_ins = {}

-- Asks `next_event` until it has something else than a fetch that one of our functions answers.
local function follow(next_event, argument, level)
  while true do
    local event, why = next_event(argument)
    if not event then error(why, level + 1) end
    if event.kind ~= "fetch" then return event end
    local response = stand_ins[event.url](message_of(event.request))
    response = response_of(response, STAND_IN, "a response of t.fetch", level + 1)
    local ok, wrong = host.answer(event.id, response)
    if not ok then error(wrong, level + 1) end
  end
end

function t.fetch(url, response)
  if type(url) ~= "string" then error("t.fetch takes a URL and a response", 2) end
  local given = true
  if type(response) == "function" then
    stand_ins[url] = response
  else
    given = response_of(response, STAND_IN, "a response of t.fetch", 2)
  end
  local ok, why = host.stand_in(url, given)
  if not ok then error(why, 2) end
end

function t.clock(seconds)
  if seconds == nil then return host.wait().now end
  if type(seconds) ~= "number" or not (seconds >= 0) then
    error("t.clock takes a number of seconds, which are not below 0", 2)
  end
  local at = host.wait().elapsed + seconds
  return follow(host.wait, { at = at }, 2).now
end

function t.metric(name, labels)
  local plain_labels = {}
  for key, value in next, labels or {} do plain_labels[key] = tostring(value) end
  return host.metric(name, plain_labels).value
end

-- Filters ---------------------------------------------------------------------------------------

local Filter = {}
Filter.__index = Filter

-- Called without a tail call: levels of errors count its callers.
local function made(kind, what, config, options, level)
  local id, why = host.filter { kind = kind, what = what, config = config, keys = options }
  if not id then error(why, level + 1) end
  return setmetatable({ id }, Filter)
end

local function named(name, what, kind, level)
  if type(what) ~= kind then
    error(name .. " takes a " .. kind .. " first, not a " .. type(what), level + 1)
  end
end

function t.filter(file, config, options)
  named("t.filter", file, "string", 2)
  local is_module = find(file, "%.c?wasm$")
  return (made(is_module and "wasm" or "lua", file, config, options, 2))
end

function t.target(file, options)
  named("t.target", file, "string", 2)
  return (made("target", file, nil, options, 2))
end

function t.openresty(scripts, options)
  named("t.openresty", scripts, "table", 2)
  return (made("openresty", scripts, nil, options, 2))
end

function t.kong(name, config, options)
  named("t.kong", name, "string", 2)
  return (made("kong", name, config, options, 2))
end

-- What the upstream answers, where a test says something of it.
local function upstream(id, response, request, level)
  if type(response) == "function" then response = response(message_of(request)) end
  if response == nil then response = {} end
  if response ~= false then
    response = response_of(response, RESPONSE, "a response", level + 1)
  end
  local ok, why = host.respond(id, response)
  if not ok then error(why, level + 1) end
end

function Filter.request(filter, request)
  if request == nil then request = {} end
  check("a request", request, REQUEST, 2)
  local plain_request = {}
  for key, value in next, request do
    if key ~= "response" then plain_request[key] = value end
  end
  local id, why = host.begin(filter[1], plain_request)
  if not id then error(why, 2) end
  while true do
    local event = follow(host.step, id, 2)
    if event.kind == "done" then
      local result = message_of(event.result)
      result.request, result.logs = message_of(result.request), event.logs
      result.fetches = event.fetches
      for _, fetch in ipairs(result.fetches) do message_of(fetch) end
      return result
    end
    upstream(id, request.response, event.request, 2)
  end
end

-- The test file ---------------------------------------------------------------------------------

local listed, order = {}, {}

local function add(name, fn, level)
  if type(name) ~= "string" or type(fn) ~= "function" then
    error("a test is a name and a function", level + 1)
  end
  if listed[name] then error("there are two tests " .. quoted(name), level + 1) end
  listed[name] = fn
  order[#order + 1] = name
end

function t.test(name, fn) add(name, fn, 2) end

-- Tests of a table run in the order in which their names stand in the file.
local function add_all(tests, text)
  local names, places = {}, {}
  for name, fn in next, tests do
    if type(name) == "string" and type(fn) == "function" then
      names[#names + 1] = name
      places[name] = find(text, name, 1, true) or #text
    end
  end
  sort(names, function(a, b)
    if places[a] ~= places[b] then return places[a] < places[b] end
    return a < b
  end)
  for _, name in ipairs(names) do add(name, tests[name], 0) end
end

local function run(fn, ...)
  local ok, result = xpcall(fn, function(why)
    if type(why) == "table" and why.message then why = why.message end
    local trace = {}
    for line in traceback("", 2):gmatch("[^\n]+") do
      if find(line, ":%d+:") and not find(line, "pilotlight:", 1, true) then
        trace[#trace + 1] = gsub(line, "^%s*", "  in ")
      end
    end
    -- A single line says where the message does already.
    return { message = tostring(why), trace = trace[2] and concat(trace, "\n") or "" }
  end, ...)
  if ok then return true, result end
  local failed = asserted and sub(result.message, -#asserted) == asserted
  host.report(failed and "failed" or "broken", result.message, result.trace)
  return false
end

package.preload["pilotlight.test"] = function() return t end

local function perform()
  local task = host.task()
  local chunk, why = load(task.text, "@" .. task.file)
  if not chunk then
    host.report("broken", why, "")
    return
  end
  local ok, tests = run(chunk, task.file)
  if not ok then return end
  if type(tests) == "table" then
    add_all(tests, task.text)
  elseif tests ~= nil then
    host.report("broken", task.file .. ": a test file returns its tests, not a " .. type(tests), "")
    return
  end
  if not task.test then
    host.listed(order)
    host.report "ok"
    return
  end
  if not listed[task.test] then
    host.report("broken", task.file .. ": the test is not there any more", "")
  elseif run(listed[task.test]) then
    host.report "ok"
  end
end

return { request = function() perform() end }
