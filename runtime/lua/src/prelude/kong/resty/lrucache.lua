-- resty.lrucache: a cache of so many entries; the one not used for longest goes.
local now = ngx.now
local type, setmetatable = type, setmetatable

local Cache = {}
Cache.__index = Cache
Cache._VERSION = "0.15"

-- Entries are in a ring: after `ring` the newest, before it the oldest.
local function unlink(entry)
  entry.before.after, entry.after.before = entry.after, entry.before
end

local function link_first(ring, entry)
  entry.before, entry.after = ring, ring.after
  ring.after.before, ring.after = entry, entry
end

local function empty_ring()
  local ring = {}
  ring.before, ring.after = ring, ring
  return ring
end

function Cache.new(size)
  if type(size) ~= "number" or size < 1 then return nil, "size too small" end
  return (setmetatable({ size = size, used = 0, by_key = {}, ring = empty_ring() }, Cache))
end

function Cache:get(key)
  local entry = self.by_key[key]
  if not entry then return nil end
  unlink(entry)
  link_first(self.ring, entry)
  if entry.expires and entry.expires < now() then return nil, entry.value, entry.flags end
  return entry.value, nil, entry.flags
end

function Cache:delete(key)
  local entry = self.by_key[key]
  if not entry then return false end
  unlink(entry)
  self.by_key[key] = nil
  self.used = self.used - 1
  return true
end

function Cache:set(key, value, ttl, flags)
  local entry = self.by_key[key]
  if entry then
    unlink(entry)
  else
    if self.used >= self.size then self:delete(self.ring.before.key) end
    entry = { key = key }
    self.by_key[key] = entry
    self.used = self.used + 1
  end
  entry.value = value
  entry.expires = ttl and now() + ttl or nil
  entry.flags = type(flags) == "number" and flags >= 0 and flags or 0
  link_first(self.ring, entry)
end

function Cache:count() return self.used end
function Cache:capacity() return self.size end

function Cache:get_keys(most, into)
  local keys, entry = into or {}, self.ring.after
  local count = 0
  while entry ~= self.ring and (not most or most == 0 or count < most) do
    count = count + 1
    keys[count] = entry.key
    entry = entry.after
  end
  keys[count + 1] = nil
  return keys
end

function Cache:flush_all()
  self.by_key, self.ring, self.used = {}, empty_ring(), 0
end

return Cache
