-- multipart: bodies of multipart/form-data, part by part.
local type, ipairs, tostring, setmetatable = type, ipairs, tostring, setmetatable
local find, sub, lower = string.find, string.sub, string.lower

local Multipart = {}
Multipart.__index = Multipart

local MEDIA = "multipart/form-data; boundary="

local function boundary_of(content_type)
  if not content_type then return nil end
  return content_type:match('boundary="([^"]+)"') or content_type:match("boundary=([^%s;,]+)")
end

local function part_of(text)
  local head, value = text:match("^(.-)\r?\n\r?\n(.*)$")
  if not head then return nil end
  local headers = {}
  for line in head:gmatch("[^\r\n]+") do headers[#headers + 1] = line end
  local name
  for _, line in ipairs(headers) do
    if lower(line):find("^content%-disposition:") then
      name = line:match('[;%s]name="([^"]*)"') or line:match("[;%s]name=([^;%s]+)")
    end
  end
  return { name = name, headers = headers, value = value }
end

local function parse(body, boundary)
  local parts, mark = {}, "--" .. boundary
  local _, at = find(body, mark, 1, true)
  while at do
    -- Two dashes behind a boundary end it all.
    if sub(body, at + 1, at + 2) == "--" then break end
    local begin = body:match("^[ \t]*\r?\n()", at + 1)
    local from, to = find(body, mark, at + 1, true)
    if not begin or not from then break end
    local part = part_of((sub(body, begin, from - 1):gsub("\r?\n$", "")))
    if part then parts[#parts + 1] = part end
    at = to
  end
  return parts
end

function Multipart:index_of(name)
  for index, part in ipairs(self.parts) do
    if part.name == name then return index end
  end
  return nil
end

function Multipart:get(name)
  return self.parts[self:index_of(name)]
end

function Multipart:get_all()
  local all = {}
  for _, part in ipairs(self.parts) do
    if part.name then all[part.name] = part.value end
  end
  return all
end

-- Names that repeat as lists.
function Multipart:get_all_with_arrays()
  local all = {}
  for _, part in ipairs(self.parts) do
    local known = part.name and all[part.name]
    if type(known) == "table" then
      known[#known + 1] = part.value
    elseif known then
      all[part.name] = { known, part.value }
    elseif part.name then
      all[part.name] = part.value
    end
  end
  return all
end

function Multipart:get_as_array(name)
  local values = {}
  for _, part in ipairs(self.parts) do
    if part.name == name then values[#values + 1] = part.value end
  end
  return values
end

local function new_part(name, value, file, content_type)
  local line = 'Content-Disposition: form-data; name="' .. name .. '"'
  if file then line = line .. '; filename="' .. file .. '"' end
  local headers = { line }
  if content_type then headers[2] = "Content-Type: " .. content_type end
  return { name = name, headers = headers, value = tostring(value) }
end

function Multipart:set_simple(name, value, file, content_type)
  local index = self:index_of(name) or #self.parts + 1
  self.parts[index] = new_part(name, value, file, content_type)
end

function Multipart:set_array(name, values)
  self:delete(name)
  for _, value in ipairs(values) do self.parts[#self.parts + 1] = new_part(name, value) end
end

function Multipart:delete(name)
  local kept = {}
  for _, part in ipairs(self.parts) do
    if part.name ~= name then kept[#kept + 1] = part end
  end
  self.parts = kept
end

function Multipart:tostring()
  local out = {}
  for _, part in ipairs(self.parts) do
    out[#out + 1] = "--" .. self.boundary .. "\r\n" .. table.concat(part.headers, "\r\n")
      .. "\r\n\r\n" .. part.value .. "\r\n"
  end
  out[#out + 1] = "--" .. self.boundary .. "--\r\n"
  return (table.concat(out))
end
Multipart.__tostring = Multipart.tostring

return setmetatable({ RECOMMENDED_PATTERN = MEDIA }, {
  __call = function(_, body, content_type)
    local boundary = boundary_of(content_type)
    return (setmetatable({
      boundary = boundary or require("kong.tools.uuid").uuid(),
      parts = boundary and parse(body or "", boundary) or {},
    }, Multipart))
  end,
})
