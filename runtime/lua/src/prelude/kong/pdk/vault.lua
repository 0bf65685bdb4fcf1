-- kong.vault: secrets by reference. The vault `env` is the environment that the manifest lets in.
local url = require "socket.url"
local cjson = require "cjson.safe"
local is_reference = require("kong.db.schema.values").is_reference
local _, dialect = ...

local type, error, pairs, pcall, tostring, upper, gsub =
  type, error, pairs, pcall, tostring, string.upper, string.gsub

local vault = { is_reference = is_reference }

-- {vault://NAME/RESOURCE/KEY?option=value#VERSION}
function vault.parse_reference(reference)
  if not is_reference(reference) then
    return nil, "not a reference [" .. tostring(reference) .. "]"
  end
  local function wrong(what) return nil, "reference url " .. what .. " [" .. reference .. "]" end
  local parsed = url.parse(reference:sub(2, -2))
  if not parsed or not parsed.host then return wrong "is missing host" end
  if not parsed.path then return wrong "is missing path" end
  if parsed.path == "/" then return wrong "has empty path" end
  local version = parsed.fragment and tonumber(parsed.fragment)
  if parsed.fragment and not version then return wrong "has invalid version" end
  local parts = url.parse_path(parsed.path)
  if #parts == 0 then return wrong "has invalid path" end
  local key
  if #parts > 1 and not parts.is_directory then key = table.remove(parts) end
  return {
    name = parsed.host, resource = table.concat(parts, "/"), key = key, version = version,
    config = parsed.query and parsed.query ~= "" and ngx.decode_args(parsed.query) or nil,
  }
end

local vaults = {}

-- "{vault://env/my-secret}" is the variable MY_SECRET; `?prefix=APP_` goes before it.
function vaults.env(parsed)
  local prefix = parsed.config and parsed.config.prefix
  local name = (type(prefix) == "string" and prefix or "") .. parsed.resource
  if parsed.version == 2 then name = name .. "_PREVIOUS" end
  return dialect.env(upper((gsub(name, "-", "_"))))
end

local function field_of(text, key)
  local value, why = cjson.decode(text)
  if type(value) ~= "table" then
    return nil, "unable to json decode value (" .. text .. "): " .. tostring(why)
  end
  value = value[key]
  if value == nil then return nil, "subfield " .. key .. " not found in JSON secret" end
  if type(value) ~= "string" then
    return nil, "unexpected " .. type(value) .. " value in JSON secret for subfield " .. key
  end
  return value
end

function vault.get(reference)
  local parsed, why = vault.parse_reference(reference)
  if not parsed then return nil, why end
  local open = vaults[parsed.name]
  if not open then return nil, "could not find vault (" .. parsed.name .. ")" end
  local value = open(parsed)
  if value == nil then return nil, "could not get value from external vault (no value found)" end
  if not parsed.key then return value end
  value, why = field_of(value, parsed.key)
  if not value then return nil, "could not get subfield value: " .. why end
  return value
end

-- Fills a configuration's references again, in place: `$refs` remembers them.
function vault.update(config)
  for key, value in pairs(config) do
    if key ~= "$refs" and type(value) == "table" then vault.update(value) end
  end
  for key, reference in pairs(config["$refs"] or {}) do
    if type(reference) == "table" then
      for place, one in pairs(reference) do
        config[key][place] = vault.get(one) or config[key][place]
      end
    else
      config[key] = vault.get(reference) or config[key]
    end
  end
  return config
end

local function has_references(config)
  if config["$refs"] then return true end
  for _, value in pairs(config) do
    if type(value) == "table" and has_references(value) then return true end
  end
  return false
end

-- Calls again with fresh secrets when the first call failed.
function vault.try(callback, options)
  if type(callback) ~= "function" then error("callback must be a function", 2) end
  if type(options) ~= "table" or not has_references(options) then return callback(options) end
  local ok, value, why = pcall(callback, options)
  if ok and value then return value, why end
  return callback(vault.update(options))
end

function vault.flush() end
function vault.init_worker() end
function vault.warmup() end

return vault
