-- ngx.ssl: certificates and keys, as values that scripts hold but can't look into.
local pl = ...
local slow = pl.slow
local type, error = type, error
local token = pl.part("token")

-- A function that reads a certificate or a key from text or from DER.
local function reader(read, name, der)
  return function(text)
    if type(text) ~= "string" then
      error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(text) .. ")", 2)
    end
    local number, why = read(text, der)
    if not number then return nil, why end
    return token.new(number)
  end
end

-- The same, but what it reads is given back as DER.
local function converter(read, name)
  local read_one = reader(read, name, false)
  return function(text)
    local made, why = read_one(text)
    if not made then return nil, why end
    return slow.tls_der(token.number(made))
  end
end

return function(_, world)
  world.preload["ngx.ssl"] = function()
    return {
      _VERSION = "0.1.33",
      SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302,
      TLS1_2_VERSION = 0x0303, TLS1_3_VERSION = 0x0304,
      parse_pem_cert = reader(slow.tls_chain, "parse_pem_cert", false),
      parse_der_cert = reader(slow.tls_chain, "parse_der_cert", true),
      parse_pem_priv_key = reader(slow.tls_key, "parse_pem_priv_key", false),
      parse_der_priv_key = reader(slow.tls_key, "parse_der_priv_key", true),
      cert_pem_to_der = converter(slow.tls_chain, "cert_pem_to_der"),
      priv_key_pem_to_der = converter(slow.tls_key, "priv_key_pem_to_der"),
    }
  end
end
