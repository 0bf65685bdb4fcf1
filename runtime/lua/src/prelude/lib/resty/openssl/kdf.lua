-- `resty.openssl.kdf`: PBKDF2 and HKDF.
local pl = ...
local slow = pl.slow
local type, setmetatable, tonumber, tostring = type, setmetatable, tonumber, tostring
local getmetatable = debug.getmetatable

local EXTRACT_AND_EXPAND, EXTRACT_ONLY, EXPAND_ONLY = 0, 1, 2

local module = {
  HKDEF_MODE_EXTRACT_AND_EXPAND = EXTRACT_AND_EXPAND, HKDEF_MODE_EXTRACT_ONLY = EXTRACT_ONLY,
  HKDEF_MODE_EXPAND_ONLY = EXPAND_ONLY,
  -- OpenSSL's numbers for them.
  PBKDF2 = 69, SCRYPT = 973, TLS1_PRF = 1021, HKDF = 1036,
}
local meta = { __index = module }

local MODES = {
  EXTRACT_AND_EXPAND = EXTRACT_AND_EXPAND, EXTRACT_ONLY = EXTRACT_ONLY, EXPAND_ONLY = EXPAND_ONLY,
}

local function pbkdf2(o, length)
  return slow.pbkdf2(o.digest or "sha1", o.pass or "", o.salt or "", tonumber(o.iter or 1), length)
end

local function hkdf(o, length)
  local mode = MODES[o.mode] or tonumber(o.mode) or EXTRACT_AND_EXPAND
  return slow.hkdf(o.digest or "sha1", mode, o.key or "", o.salt or "", o.info or "", length)
end

local KINDS = { PBKDF2 = pbkdf2, HKDF = hkdf }

function module.new(kind)
  local derive = type(kind) == "string" and KINDS[kind:upper()]
  if not derive then return nil, 'kdf.new: invalid kdf type "' .. tostring(kind) .. '"' end
  return (setmetatable({ ctx = derive, algo = kind }, meta))
end

function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end
function module.get_provider_name() return "pilotlight" end
function module.reset() return true end

-- Of before OpenSSL 3: one table says all.
function module.derive_legacy(o)
  local length = tonumber(o.outlen)
  if not o.type then return nil, 'kdf.derive: "type" must be set' end
  if not length then return nil, 'kdf.derive: "outlen" must be set' end
  local made, why
  if o.type == module.PBKDF2 then
    made, why = pbkdf2({ digest = o.md, pass = o.pass, salt = o.salt, iter = o.pbkdf2_iter },
      length)
  elseif o.type == module.HKDF then
    made, why = hkdf({
      digest = o.md, key = o.hkdf_key, salt = o.salt, info = o.hkdf_info, mode = o.hkdf_mode,
    }, length)
  else
    why = "unknown type " .. tostring(o.type)
  end
  if not made then return nil, "kdf.derive: " .. why end
  return made
end

function module.derive(self, length, options)
  if not module.istype(self) then return module.derive_legacy(self) end
  local made, why = self.ctx(options or {}, length)
  if not made then return nil, "kdf:derive: " .. why end
  return made
end

return module
