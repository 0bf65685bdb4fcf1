-- ngx.*: text as base64, in URIs, in SQL; digests. Arguments are taken and refused as in OpenResty.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local type, error, select, tonumber = type, error, select, tonumber
local stock_tostring, getinfo, floor = tostring, debug.getinfo, math.floor

-- As READERS in calls/encode.rs.
local NGINX, MIME = 1, 3

-- What most functions take: anything, nil as nothing.
local function loose(value)
  if type(value) == "string" then return value end
  if not value then return "" end
  return pl.tostring(value)
end

local function shown() return (text(window.ptr, window.len)) end

-- The name by which a script called the function that asks; "?" when pcall did.
local function name_of() return getinfo(2, "n").name or "?" end

local function bad(index, name, want, value)
  error("bad argument #" .. index .. " to '" .. name .. "' (" .. want .. " expected, got "
    .. type(value) .. ")", 3)
end

return function(ngx)
  function ngx.encode_base64(s, no_padding)
    s = loose(s)
    if no_padding and no_padding ~= true then
      error("bad no_padding: boolean expected, got " .. type(no_padding), 2)
    end
    C.base64_write(window, s, #s, 0, no_padding and 0 or 1)
    return shown()
  end

  local function reader(how)
    return function(s)
      if type(s) ~= "string" then error("string argument only", 2) end
      if C.base64_read(window, s, #s, how) == 0 then return nil end
      return shown()
    end
  end
  ngx.decode_base64, ngx.decode_base64mime = reader(NGINX), reader(MIME)

  function ngx.escape_uri(s, kind)
    s = loose(s)
    if kind == nil then
      kind = 2
    elseif type(kind) ~= "number" then
      error('"type" is not a number', 0)
    elseif not (kind >= 0 and kind <= 6) then
      error('"type" ' .. kind .. " out of range", 0)
    end
    C.uri_escape(window, s, #s, kind)
    return shown()
  end

  function ngx.unescape_uri(s)
    s = loose(s)
    C.uri_unescape(window, s, #s)
    return shown()
  end

  function ngx.encode_args(...)
    local count, args = select("#", ...), ...
    if count ~= 1 then error("expecting 1 argument but seen " .. count, 2) end
    if type(args) ~= "table" then bad(1, name_of(), "table", args) end
    local encoded, why = slow.args_encode(args)
    if not encoded then error(why, 2) end
    return encoded
  end

  function ngx.decode_args(...)
    local count, s, max = select("#", ...), ...
    if count ~= 1 and count ~= 2 then
      error("expecting 1 or 2 arguments but seen " .. count, 2)
    end
    if type(s) ~= "string" and type(s) ~= "number" then bad(1, name_of(), "string", s) end
    local limit = 100
    if count == 2 then
      limit = tonumber(max)
      if not limit then bad(2, name_of(), "number", max) end
    end
    return slow.args_table(stock_tostring(s), floor(limit))
  end

  function ngx.quote_sql_str(...)
    local count, s = select("#", ...), ...
    if count ~= 1 then error("expecting one argument", 2) end
    if type(s) == "number" then s = stock_tostring(s) end
    if type(s) ~= "string" then bad(1, name_of(), "string", s) end
    C.sql_quote(window, s, #s)
    return shown()
  end

  local function digester(hash)
    local len = #hash
    return function(s)
      s = loose(s)
      C.digest(window, hash, len, s, #s)
      return shown()
    end
  end
  ngx.md5_bin, ngx.sha1_bin = digester("md5"), digester("sha1")

  function ngx.md5(s)
    local digest = ngx.md5_bin(s)
    C.hex_encode(window, digest, #digest)
    return shown()
  end

  function ngx.hmac_sha1(...)
    local count, key, s = select("#", ...), ...
    if count ~= 2 then error("expecting 2 arguments, but got " .. count, 2) end
    if type(key) == "number" then key = stock_tostring(key) end
    if type(s) == "number" then s = stock_tostring(s) end
    if type(key) ~= "string" then bad(1, name_of(), "string", key) end
    if type(s) ~= "string" then bad(2, name_of(), "string", s) end
    C.hmac(window, "sha1", 4, key, #key, s, #s)
    return shown()
  end

  -- nginx has two that differ in speed only.
  local function crc32(s)
    s = loose(s)
    return (C.crc32(0, s, #s))
  end
  ngx.crc32_short, ngx.crc32_long = crc32, crc32
end
