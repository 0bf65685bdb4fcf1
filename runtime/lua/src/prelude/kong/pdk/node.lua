-- kong.node: this process.
local strings = require "kong.tools.string"
local _, dialect = ...

local pairs, pcall, error, floor, lower = pairs, pcall, error, math.floor, string.lower

local node = {}
function node.new() return node end

local id

-- The same on all workers, where a dictionary `kong` is there to agree on it.
function node.get_id()
  if id then return id end
  local uuid = require("kong.tools.uuid").uuid
  local dict = ngx.shared.kong
  if dict then
    dict:safe_add("kong:node_id", uuid())
    id = dict:get("kong:node_id")
  end
  id = id or uuid()
  return id
end

function node.get_hostname() return dialect.hostname() end

local function sized(bytes, unit, scale)
  if not unit or lower(unit) == "b" then return (floor(bytes)) end
  return strings.bytes_to_str(bytes, unit, scale)
end

function node.get_memory_stats(unit, scale)
  local ok, why = pcall(strings.bytes_to_str, 0, unit or "b", scale or 2)
  if not ok then error(why:gsub("^[^:]*:%d+: ", ""), 2) end
  local stats = {
    workers_lua_vms = { {
      pid = ngx.worker.pid(),
      http_allocated_gc = sized(collectgarbage "count" * 1024, unit, scale),
    } },
    lua_shared_dicts = {},
  }
  for name, dict in pairs(ngx.shared) do
    local capacity = dict:capacity()
    stats.lua_shared_dicts[name] = {
      capacity = sized(capacity, unit, scale),
      allocated_slabs = sized(capacity - dict:free_space(), unit, scale),
    }
  end
  return stats
end

return node
