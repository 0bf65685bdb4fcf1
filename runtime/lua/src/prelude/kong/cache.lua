-- kong.cache: what a plugin looks up seldom changes: a table of this worker first, then a dictionary
-- that all workers share, then the plugin's own function.
local lrucache = require "resty.lrucache"
local json = require("cjson.safe").new()
local one_at_a_time = require("kong.concurrency").with_coroutine_mutex

local type, error, pcall, select, setmetatable, tostring, unpack, pairs =
  type, error, pcall, select, setmetatable, tostring, unpack, pairs
local max = math.max

-- Entries of this worker's own table.
local ENTRIES = 10000
-- Where the number of the last invalidation is: a worker that sees a new one forgets its table.
local EPOCH = "kong:cache:epoch"
-- What stands for nothing found.
local MISS = {}

-- Tables deeper than this are not shared.
local DEPTH = 50

json.encode_number_precision(16)

local plain = { string = true, number = true, boolean = true }

-- Whether JSON gives the same back: no functions, and tables that are lists or have names, not both.
local function is_plain(value, depth)
  if plain[type(value)] then return true end
  if type(value) ~= "table" or depth > DEPTH then return false end
  local count, listed = #value, #value > 0
  for key, one in pairs(value) do
    local fits = type(key) == "string" and not listed
      or listed and type(key) == "number" and key >= 1 and key <= count and key % 1 == 0
    if not fits or not is_plain(one, depth + 1) then return false end
  end
  return true
end

local function text_of(value)
  if not is_plain(value, 0) then return nil, "it is more than text, numbers and tables" end
  return json.encode(value)
end

local Cache = {}
Cache.__index = Cache

-- `generation` sets apart what was kept under another manifest. Without ends: what plugins look up
-- changes with the manifest, unless they say for how long they keep it.
local function new(scope, generation)
  local dict = ngx.shared.kong_db_cache
  return (setmetatable({
    prefix = scope .. ":" .. (generation or 0) .. ":", ttl = 0, neg_ttl = 0, epoch = 0,
    dict = dict, misses = ngx.shared.kong_db_cache_miss or dict,
    own = lrucache.new(ENTRIES),
  }, Cache))
end

local function epoch(cache)
  local dict = ngx.shared.kong or cache.dict
  local last = dict and dict:get(EPOCH) or 0
  if last ~= cache.epoch then
    cache.epoch = last
    cache.own:flush_all()
  end
end

-- 0 is for ever.
local function ttl_of(ttl) return ttl and ttl > 0 and ttl or nil end

local function keep_own(cache, key, value, ttl, options)
  if value == nil then
    value = MISS
  elseif options.l1_serializer then
    local ok, made, why = pcall(options.l1_serializer, value)
    if not ok or made == nil then
      return nil, "l1_serializer threw an error: " .. tostring(ok and why or made)
    end
    value = made
  end
  cache.own:set(key, value, ttl_of(ttl))
  return value
end

-- Of the dictionary: found, the value, seconds that are left of it.
local function shared(cache, key)
  local dict = cache.dict
  if not dict then return false end
  local kept = dict:get(cache.prefix .. key)
  if type(kept) == "string" then
    local value = json.decode(kept)
    if value ~= nil then return true, value, dict:ttl(cache.prefix .. key) end
  end
  if cache.misses:get("miss:" .. cache.prefix .. key) then
    return true, nil, cache.misses:ttl("miss:" .. cache.prefix .. key)
  end
  return false
end

local function share(cache, key, value, ttl)
  if not cache.dict then return end
  if value == nil then
    cache.misses:set("miss:" .. cache.prefix .. key, true, max(ttl, 0))
    return
  end
  -- Values with functions in them stay with this worker.
  local text = text_of(value)
  if text then cache.dict:set(cache.prefix .. key, text, max(ttl, 0)) end
end

local function produce(cache, key, options, callback, ...)
  local ok, value, why, ttl = pcall(callback, ...)
  if not ok then return nil, "callback threw an error: " .. tostring(value) end
  if why ~= nil then return nil, tostring(why) end
  if type(ttl) ~= "number" or ttl < 0 then
    ttl = options.ttl or cache.ttl
    if value == nil then ttl = options.neg_ttl or cache.neg_ttl end
  end
  share(cache, key, value, ttl)
  value, why = keep_own(cache, key, value, ttl, options)
  if why then return nil, why end
  if value == MISS then value = nil end
  return value, nil, 3
end

local function look(cache, key, options)
  local value = cache.own:get(key)
  if value ~= nil then return true, value ~= MISS and value or nil, 1 end
  local found, left
  found, value, left = shared(cache, key)
  if not found then return false end
  local made, why = keep_own(cache, key, value, left, options)
  if why then return true, nil, nil, why end
  return true, made ~= MISS and made or nil, 2
end

-- The value, an error, the level that it was found at: 1 this worker, 2 all workers, 3 the function.
function Cache:get(key, options, callback, ...)
  if type(key) ~= "string" then error("key must be a string", 2) end
  options = options or {}
  epoch(self)
  local found, value, level, why = look(self, key, options)
  if not found and callback == nil then return nil, nil, -1 end
  if not found then
    local arguments, count = { ... }, select("#", ...)
    local ok
    ok, why = one_at_a_time({ name = "cache:" .. self.prefix .. key, timeout = 5 }, function()
      found, value, level, why = look(self, key, options)
      if found then return true end
      value, why, level = produce(self, key, options, callback, unpack(arguments, 1, count))
      if why then return nil, why end
      return true
    end)
    if ok then why = nil end
  end
  if why then return nil, "failed to get from node cache: " .. why end
  return value, nil, level
end

function Cache:renew(key, options, callback, ...)
  if type(key) ~= "string" then error("key must be a string", 2) end
  local value, why = produce(self, key, options or {}, callback, ...)
  if why then return nil, "failed to renew key in node cache: " .. why end
  return value, nil, (options or {}).ttl or self.ttl
end

-- { key, options, callback, argument, ... n = 4 }: answers values, errors and levels by threes.
function Cache:get_bulk(bulk, options)
  if type(bulk) ~= "table" then error("bulk must be a table", 2) end
  if options ~= nil and type(options) ~= "table" then error("opts must be a table", 2) end
  local out = { n = 0 }
  for index = 1, bulk.n or #bulk, 4 do
    local value, why, level = self:get(bulk[index], bulk[index + 1], bulk[index + 2], bulk[index + 3])
    out[out.n + 1], out[out.n + 2], out[out.n + 3] = value, why, level
    out.n = out.n + 3
  end
  return out
end

function Cache:safe_set(key, value)
  if not self.dict then return nil, "the manifest has no dictionary for it" end
  local text, why = text_of(value)
  if not text then return nil, why end
  return self.dict:safe_set(self.prefix .. key, text, self.ttl)
end

-- What is there: seconds that are left, an error, the value.
function Cache:probe(key)
  if type(key) ~= "string" then error("key must be a string", 2) end
  local found, value, left = shared(self, key)
  if found then return left or 0, nil, value end
  local own = self.own:get(key)
  if own ~= nil then return 0, nil, own ~= MISS and own or nil end
  return nil
end

local function forget_everywhere(cache)
  local dict = ngx.shared.kong or cache.dict
  if dict then dict:incr(EPOCH, 1, 0) end
end

function Cache:invalidate_local(key)
  if type(key) ~= "string" then error("key must be a string", 2) end
  self.own:delete(key)
  if self.dict then
    self.dict:delete(self.prefix .. key)
    self.misses:delete("miss:" .. self.prefix .. key)
  end
  forget_everywhere(self)
end
Cache.invalidate = Cache.invalidate_local

function Cache:purge()
  self.own:flush_all()
  if self.dict then
    self.dict:flush_all()
    if self.misses ~= self.dict then self.misses:flush_all() end
  end
  forget_everywhere(self)
end

return { new = new }
