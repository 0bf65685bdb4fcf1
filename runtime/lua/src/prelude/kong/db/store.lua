-- kong.db: the rows that plugins read. Consumers and their credentials are those of `[[consumers]]`, the
-- same on every worker; nothing is ever written.
local Entity = require "kong.db.schema.entity"
local Schema = require "kong.db.schema"
local uuid = require "kong.tools.uuid"
local WORKSPACE = require("kong.workspaces").get_workspace_id()
local _, dialect = ...

local type, pairs, ipairs, tostring, setmetatable, rawget, error, format =
  type, pairs, ipairs, tostring, setmetatable, rawget, error, string.format
local null = ngx.null

-- Entities that are there without a plugin's own definition.
local definitions = {}

local function define(name, definition)
  definition.name, definition.primary_key = name, { "id" }
  table.insert(definition.fields, 1, { id = { type = "string", uuid = true, auto = true } })
  definitions[name] = definition
end

local function text(options)
  options = options or {}
  options.type = "string"
  return options
end
local function names() return { type = "set", elements = { type = "string" } } end
local function owner()
  return { type = "foreign", reference = "consumers", required = true }
end

define("consumers", {
  cache_key = { "id" },
  fields = {
    { username = text { unique = true } }, { custom_id = text { unique = true } },
    { tags = names() },
  },
})
define("keyauth_credentials", {
  cache_key = { "key" },
  fields = { { consumer = owner() }, { key = text { unique = true, required = true } } },
})
define("basicauth_credentials", {
  cache_key = { "username" },
  fields = {
    { consumer = owner() }, { username = text { unique = true, required = true } },
    { password = text { required = true } },
  },
  transformations = { {
    input = { "password" },
    needs = { "consumer.id" },
    on_write = function(password, consumer)
      local digest = require("resty.sha1"):new()
      digest:update(password .. consumer)
      return { password = require("resty.string").to_hex(digest:final()) }
    end,
  } },
})
define("hmacauth_credentials", {
  cache_key = { "username" },
  fields = {
    { consumer = owner() }, { username = text { unique = true, required = true } },
    { secret = text { required = true } },
  },
})
define("jwt_secrets", {
  cache_key = { "key" },
  fields = {
    { consumer = owner() }, { key = text { unique = true, required = true } },
    { secret = text() }, { rsa_public_key = text() }, { algorithm = text { default = "HS256" } },
  },
})
define("acls", {
  cache_key = { "consumer", "group" },
  fields = { { consumer = owner() }, { group = text { required = true } } },
})
for _, name in ipairs { "routes", "services", "upstreams", "plugins" } do
  define(name, { cache_key = { "id" }, fields = { { name = text { unique = true } } } })
end

-- Where the rows of an entity come from: each calls `add` with a row.
local sources = {}

local function consumers(add)
  for _, consumer in ipairs(dialect.facts.consumers or {}) do
    local name = consumer.username or consumer.custom_id
    add {
      id = consumer.id or uuid.of_name("consumer:" .. name), username = consumer.username,
      custom_id = consumer.custom_id, tags = consumer.tags,
    }
  end
end
sources.consumers = consumers

local function list_of(value)
  if value == nil then return {} end
  if type(value) ~= "table" or value[1] == nil and next(value) ~= nil then return { value } end
  return value
end

-- One of a consumer's lists as rows; a plain text is the row's `main` field.
local function credentials(entity, field, main, fix)
  sources[entity] = function(add)
    for index, consumer in ipairs(dialect.facts.consumers or {}) do
      local id = dialect.kong.db.consumers.rows[index].id
      for place, given in ipairs(list_of(consumer[field])) do
        local row = { consumer = { id = id } }
        if type(given) == "table" then
          for key, value in pairs(given) do row[key] = value end
          if fix then fix(row) end
        else
          row[main] = given
        end
        row.id = row.id or uuid.of_name(entity .. ":" .. id .. ":" .. tostring(row[main] or place))
        add(row)
      end
    end
  end
end
credentials("keyauth_credentials", "keys", "key")
credentials("basicauth_credentials", "basic", "username")
credentials("hmacauth_credentials", "hmac", "username")
-- The manifest has one key for whatever signs.
credentials("jwt_secrets", "jwt", "key", function(row)
  if row.algorithm and row.algorithm:sub(1, 2) ~= "HS" and not row.rsa_public_key then
    row.rsa_public_key, row.secret = row.secret, nil
  end
end)
credentials("acls", "groups", "group")

local function those_of(map)
  return function(add)
    for _, row in pairs(map()) do add(row) end
  end
end
sources.routes = those_of(function() return dialect.routes end)
sources.services = those_of(function() return dialect.services end)
sources.upstreams = sources.services
sources.plugins = those_of(function() return dialect.plugins end)

local Rows = {}

local function cache_key(rows, key, ...)
  if type(key) == "table" then
    local row, parts = key, {}
    for index, name in ipairs(rows.schema.cache_key or { "id" }) do
      local value = row[name]
      parts[index] = type(value) == "table" and value.id or value
    end
    return cache_key(rows, parts[1], parts[2], parts[3], parts[4], parts[5])
  end
  local parts = { key, ... }
  local function part(index)
    local value = parts[index]
    if value == nil or value == null then return "" end
    return (tostring(value))
  end
  return (format("%s:%s:%s:%s:%s:%s:%s", rows.schema.name, part(1), part(2), part(3), part(4), part(5),
    WORKSPACE))
end
function Rows:cache_key(...) return cache_key(self, ...) end

function Rows:select(key)
  if type(key) ~= "table" then error("primary_key must be a table", 2) end
  return self.by.id[key.id]
end

function Rows:select_by_cache_key(key) return self.by_cache_key[key] end

local function iterate(list)
  local index = 0
  return function()
    index = index + 1
    return list[index], nil, 1
  end
end

function Rows:each() return iterate(self.rows) end
function Rows:page() return self.rows, nil, nil, nil end
function Rows:each_for_consumer(consumer) return iterate(self.by_consumer[consumer.id] or {}) end
function Rows:page_for_consumer(consumer) return self.by_consumer[consumer.id] or {}, nil, nil, nil end

for _, name in ipairs { "insert", "update", "upsert", "delete", "truncate" } do
  Rows[name] = function(rows)
    return nil, "[" .. rows.schema.name .. "] what the manifest says can't be changed here"
  end
end

-- `select_by_username` and such: of a field whose values are unique.
function Rows.__index(rows, name)
  local method = Rows[name]
  if method then return method end
  local field = type(name) == "string" and name:match("^select_by_(.+)$")
  local by = field and rawget(rows, "by")[field]
  if not by then return nil end
  return function(_, value) return by[value] end
end

local function refuse(name, row, errors)
  local who = row.username or row.key or row.group or row.id
  error(name .. " of the manifest's consumers (" .. tostring(who) .. "): "
    .. table.concat(Schema.lines(errors), "; "), 0)
end

-- A row as plugins see it.
local function prepare(schema, given)
  if schema.name == "consumers" or not schema.fields.consumer then return given end
  local row, why = schema:process_auto_fields(given, "insert")
  if not row then refuse(schema.name, given, why) end
  local ok, errors = schema:validate(row)
  if not ok then refuse(schema.name, given, errors) end
  row, why = schema:transform(row, nil, "insert")
  if not row then refuse(schema.name, given, { why }) end
  return schema:process_auto_fields(row, "select")
end

local function load(schema)
  local rows = setmetatable({
    schema = schema, rows = {}, by = { id = {} }, by_cache_key = {}, by_consumer = {},
  }, Rows)
  for name, field in schema:each_field() do
    if field.unique then rows.by[name] = {} end
  end
  local function add(given)
    local row = prepare(schema, given)
    rows.rows[#rows.rows + 1] = row
    for name, by in pairs(rows.by) do
      local value = row[name]
      if value ~= nil then
        if by[value] then refuse(schema.name, row, { [name] = "'" .. tostring(value) .. "' is there twice" }) end
        by[value] = row
      end
    end
    rows.by_cache_key[rows:cache_key(row)] = row
    local consumer = row.consumer and row.consumer.id
    if consumer then
      rows.by_consumer[consumer] = rows.by_consumer[consumer] or {}
      table.insert(rows.by_consumer[consumer], row)
    end
  end
  local source = sources[schema.name]
  if source then source(add) end
  return rows
end

local store = {}

-- A plugin's own definitions (`daos.lua`) take the place of ours; their rows are checked at once.
function store.adopt(list)
  for _, definition in ipairs(list) do
    local schema, why = Entity.new(definition)
    if not schema then error("entity " .. tostring(definition.name) .. ": " .. why, 0) end
    dialect.kong.db[schema.name] = load(schema)
  end
end

local connector = {}
function connector:connect() return true end
function connector:setkeepalive() return true end
function connector:close() return true end

-- Entities are loaded when the first asks for them.
function store.open()
  return (setmetatable({ connector = connector, strategy = "off", daos = {} }, {
    __index = function(db, name)
      local definition = definitions[name]
      if not definition then return nil end
      local rows = load(Entity.new(definition))
      db[name] = rows
      return rows
    end,
  }))
end

return store
