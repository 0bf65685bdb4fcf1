-- A hash, or an HMAC, that scripts feed and ask. Most are asked for one text, which compiles and leaves
-- no garbage; only one that is fed in pieces has a state, in a userdata, which every collection visits.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local hash_new, hash_update, hash_final = slow.hash_new, slow.hash_update, slow.hash_final
local type, error = type, error

local hash = {}

-- Makes `self` one, of this name; nil when there is none.
function hash.begin(self, name)
  if type(name) ~= "string" or C.hash_len(name, #name) == 0 then return nil end
  self.hash = name
  return self
end

-- The same with a key: HMAC.
function hash.begin_keyed(self, name, key)
  if type(key) ~= "string" then error("a key is a string, not a " .. type(key), 3) end
  self.key = key
  return hash.begin(self, name)
end

local function state(self)
  if not self.state then
    self.state = hash_new(self.hash, self.key)
    if self.fed then hash_update(self.state, self.fed) end
  end
  return self.state
end

-- True, or nil and why not.
function hash.feed(self, s) return hash_update(state(self), s) end

-- The digest of what it was fed so far, and then of `s`, if there is one; or nil and why not.
function hash.ask(self, s)
  if self.state or self.fed and s or s ~= nil and type(s) ~= "string" then
    if s ~= nil then
      local is_fed, why = hash.feed(self, s)
      if not is_fed then return nil, why end
    end
    return hash_final(state(self))
  end
  s = s or self.fed or ""
  self.fed = s
  local name, key, made = self.hash, self.key, 0
  if key then
    made = C.hmac(window, name, #name, key, #key, s, #s)
  else
    made = C.digest(window, name, #name, s, #s)
  end
  -- A script may have changed the name: then the window holds what somebody else was given.
  if made == 0 then return nil, "a hash and a string are needed" end
  return (text(window.ptr, window.len))
end

-- As new, with its key.
function hash.reset(self)
  self.state, self.fed = nil, nil
  return true
end

return hash
