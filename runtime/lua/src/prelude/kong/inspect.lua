-- inspect: values as text for people.
local type, tostring, pairs, getmetatable, setmetatable = type, tostring, pairs, getmetatable, setmetatable
local rep, format, sort, concat, huge = string.rep, string.format, table.sort, table.concat, math.huge

local inspect = {
  KEY = setmetatable({}, { __tostring = function() return "inspect.KEY" end }),
  METATABLE = setmetatable({}, { __tostring = function() return "inspect.METATABLE" end }),
}

local controls = { ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t", ["\v"] = "\\v", ["\127"] = "\\127" }
local function quoted(text)
  text = text:gsub("\\", "\\\\"):gsub("[%c\127]", function(c)
    return controls[c] or format("\\%03d", c:byte())
  end)
  if text:find('"', 1, true) and not text:find("'", 1, true) then return "'" .. text .. "'" end
  return '"' .. text:gsub('"', '\\"') .. '"'
end

local order = { number = 1, boolean = 2, string = 3, table = 4, ["function"] = 5, userdata = 6, thread = 7 }
local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta == tb and (ta == "string" or ta == "number") then return a < b end
  local oa, ob = order[ta] or 100, order[tb] or 100
  return oa == ob and tostring(a) < tostring(b) or oa < ob
end

local function other_keys(map, count)
  local keys = {}
  for key in pairs(map) do
    local listed = type(key) == "number" and key >= 1 and key <= count and key % 1 == 0
    if not listed then keys[#keys + 1] = key end
  end
  sort(keys, before)
  return keys
end

local function count_uses(value, uses)
  if type(value) ~= "table" then return end
  uses[value] = (uses[value] or 0) + 1
  if uses[value] > 1 then return end
  for key, one in pairs(value) do
    count_uses(key, uses)
    count_uses(one, uses)
  end
end

local Writer = {}
Writer.__index = Writer

function Writer:put(...)
  for index = 1, select("#", ...) do self.out[#self.out + 1] = (select(index, ...)) end
end

function Writer:id(value)
  local kind = type(value)
  local known = self.ids[value]
  if not known then
    known = (self.last[kind] or 0) + 1
    self.last[kind], self.ids[value] = known, known
  end
  return (tostring(known))
end

function Writer:line() self:put(self.newline, rep(self.indent, self.level)) end

function Writer:table(map)
  if self.written[map] then return self:put("<table ", self:id(map), ">") end
  if self.level >= self.depth then return self:put("{...}") end
  self.written[map] = true
  if self.uses[map] > 1 then self:put("<", self:id(map), ">") end
  local count, meta = #map, getmetatable(map)
  local keys = other_keys(map, count)
  self:put("{")
  self.level = self.level + 1
  for index = 1, count + #keys do
    if index > 1 then self:put(",") end
    if index <= count then
      self:put(" ")
      self:value(map[index])
    else
      local key = keys[index - count]
      self:line()
      if type(key) == "string" and key:match("^[%a_][%w_]*$") then
        self:put(key)
      else
        self:put("[")
        self:value(key)
        self:put("]")
      end
      self:put(" = ")
      self:value(map[key])
    end
  end
  if type(meta) == "table" then
    if count + #keys > 0 then self:put(",") end
    self:line()
    self:put("<metatable> = ")
    self:value(meta)
  end
  self.level = self.level - 1
  if #keys > 0 or type(meta) == "table" then
    self:line()
  elseif count > 0 then
    self:put(" ")
  end
  self:put("}")
end

local plain = { number = true, boolean = true, ["nil"] = true, cdata = true, ctype = true }

function Writer:value(value)
  local kind = type(value)
  if kind == "string" then
    self:put(quoted(value))
  elseif plain[kind] then
    self:put(tostring(value))
  elseif kind == "table" then
    self:table(value)
  else
    self:put("<", kind, " ", self:id(value), ">")
  end
end

function inspect.inspect(value, options)
  options = options or {}
  if options.process then value = options.process(value, {}) end
  local uses = {}
  count_uses(value, uses)
  local meta = type(value) == "table" and getmetatable(value)
  if type(meta) == "table" then count_uses(meta, uses) end
  local writer = setmetatable({
    out = {}, ids = {}, last = {}, written = {}, level = 0,
    uses = setmetatable(uses, { __index = function() return 1 end }),
    depth = options.depth or huge, newline = options.newline or "\n", indent = options.indent or "  ",
  }, Writer)
  writer:value(value)
  return (concat(writer.out))
end

return setmetatable(inspect, { __call = function(_, ...) return inspect.inspect(...) end })
