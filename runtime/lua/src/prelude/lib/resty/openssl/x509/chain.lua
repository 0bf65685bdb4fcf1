-- `resty.openssl.x509.chain`: a list of certificates.
local pl = ...
local slow, ffi = pl.slow, require "ffi"
local x509, token = pl.part("lib/resty/openssl/x509"), pl.part("token")
local ipairs, type, setmetatable, getmetatable = ipairs, type, setmetatable, debug.getmetatable

-- What libraries cast certificates and keys to: names, there is nothing behind them.
ffi.cdef "typedef struct stack_st OPENSSL_STACK; typedef struct evp_pkey_st EVP_PKEY;"

local module = {}
local meta = { __index = module }

function module.new() return (setmetatable({}, meta)) end
function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end

-- Of a list of DER.
function module.of(ders)
  local made = module.new()
  for index, der in ipairs(ders) do
    local one, why = x509.new(der, "DER")
    if not one then return nil, why end
    made[index] = one
  end
  return made
end

-- Of what ngx.ssl.parse_pem_cert gave, whatever it was cast to.
function module.dup(ctx)
  local number, ders = token.number_at(ctx), {}
  local der = number and slow.tls_der(number, 1)
  while der do
    ders[#ders + 1] = der
    der = slow.tls_der(number, #ders + 1)
  end
  if not ders[1] then return nil, "x509.chain.dup: expect certificates of ngx.ssl's at #1" end
  return module.of(ders)
end

function module:add(one)
  if not x509.istype(one) then return nil, "x509.chain:add: expect a x509 instance at #1" end
  self[#self + 1] = one
  return true
end

function module:all()
  local all = {}
  for index, one in ipairs(self) do all[index] = one end
  return all
end
function module:each()
  local index = 0
  return function()
    index = index + 1
    return self[index]
  end
end
function module:count() return #self end
function module:index(index) return self[index] end

return module
