-- ngx.ssl: certificates and keys, as values that scripts hold but can't look into, and what scripts
-- see and change of TLS handshakes.
local pl = ...
local slow, C, window, text = pl.slow, pl.C, pl.window, pl.text
local type, error, ipairs = type, error, ipairs
local token = pl.part("token")

local VERSIONS = {
  [0x0002] = "SSLv2", [0x0300] = "SSLv3", [0x0301] = "TLSv1", [0x0302] = "TLSv1.1",
  [0x0303] = "TLSv1.2", [0x0304] = "TLSv1.3",
}

local function expect_string(value, name, level)
  if type(value) ~= "string" then
    error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(value) .. ")", level)
  end
end

-- A function that reads a certificate or a key from text or from DER.
local function reader(read, name, der)
  return function(given)
    expect_string(given, name, 3)
    local number, why = read(given, der)
    if not number then return nil, why end
    return token.new(number)
  end
end

-- The same, but what it reads is given back as DER.
local function converter(read, name)
  local read_one = reader(read, name, false)
  return function(given)
    local made, why = read_one(given)
    if not made then return nil, why end
    return slow.tls_der(token.number(made))
  end
end

-- Functions that show certificates: the same towards clients and endpoints.
local function showing(kit)
  local function take(set, what)
    return function(value)
      kit.check()
      local number = token.number(value)
      if not number then return nil, "no " .. what end
      return set(number)
    end
  end
  local function take_der(read, set, name)
    return function(der)
      kit.check()
      expect_string(der, name, 3)
      local number, why = read(der, true)
      if not number then return nil, why end
      -- The handshake holds it from here on.
      local made = token.new(number)
      return set(token.number(made))
    end
  end
  local module = kit.module
  function module.clear_certs()
    kit.check()
    return slow.hs_clear()
  end
  module.set_cert = take(slow.hs_chain, "cert")
  module.set_priv_key = take(slow.hs_key, "pkey")
  module.set_der_cert = take_der(slow.tls_chain, slow.hs_chain, "set_der_cert")
  module.set_der_priv_key = take_der(slow.tls_key, slow.hs_key, "set_der_priv_key")
end

return function(_, world)
  local preload, state = world.preload, world.state

  -- Calls of a phase, refused in others.
  local function only(phases)
    return function()
      if not phases[state().phase] then error("API disabled in the current context", 3) end
    end
  end

  local function in_exchange()
    if window.serial == 0 then error("no request found", 3) end
    state()
  end

  local function address(own)
    in_exchange()
    local octets, kind = slow.peer_address(own)
    if not octets then return nil, nil, kind end
    return octets, kind
  end

  preload["ngx.ssl"] = function()
    local ssl = {
      _VERSION = "0.1.33", version = "0.1.33",
      SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302,
      TLS1_2_VERSION = 0x0303, TLS1_3_VERSION = 0x0304,
      parse_pem_cert = reader(slow.tls_chain, "parse_pem_cert", false),
      parse_der_cert = reader(slow.tls_chain, "parse_der_cert", true),
      parse_pem_priv_key = reader(slow.tls_key, "parse_pem_priv_key", false),
      parse_der_priv_key = reader(slow.tls_key, "parse_der_priv_key", true),
      cert_pem_to_der = converter(slow.tls_chain, "cert_pem_to_der"),
      priv_key_pem_to_der = converter(slow.tls_key, "priv_key_pem_to_der"),
    }
    showing { module = ssl, check = in_exchange }

    function ssl.server_name()
      in_exchange()
      local name, why = slow.hs_hello()
      if name or not why then return name end
      if C.var_at(window, pl.variables.ssl_server_name) == 0 then return nil end
      return (text(window.ptr, window.len))
    end

    function ssl.raw_client_addr() return address(false) end
    function ssl.raw_server_addr() return address(true) end

    function ssl.server_port()
      in_exchange()
      local octets, kind, port = slow.peer_address(true)
      if not octets then return nil, kind end
      if kind == "unix" then return nil, "unix domain has no port" end
      return port
    end

    function ssl.get_tls1_version()
      in_exchange()
      return slow.hs_version()
    end

    function ssl.get_tls1_version_str()
      in_exchange()
      local version, why = slow.hs_version()
      if not version then return nil, why end
      return VERSIONS[version]
    end

    -- With a length of 0, how long it is.
    function ssl.get_client_random(length)
      in_exchange()
      local random, why = slow.hs_random()
      if not random then return nil, why end
      if length == 0 then return #random end
      return (random:sub(1, length or 32))
    end

    function ssl.get_req_shared_ssl_ciphers()
      in_exchange()
      return slow.hs_list "shared"
    end

    function ssl.verify_client(authorities, depth, trusted)
      in_exchange()
      return slow.hs_ask(token.number(authorities), token.number(trusted), depth or -1)
    end

    -- The secrets of a connection stay with it.
    local function kept() return nil, "keying material is not given out" end
    ssl.export_keying_material, ssl.export_keying_material_early = kept, kept
    ssl.get_session_master_key = kept

    return ssl
  end

  preload["ngx.ssl.clienthello"] = function()
    local check = only { ssl_client_hello = true }
    local hello = { version = "0.1.33" }

    function hello.get_client_hello_server_name()
      check()
      return slow.hs_hello()
    end

    function hello.get_client_hello_ext(kind)
      check()
      if type(kind) ~= "number" then
        error("bad argument #1 to 'get_client_hello_ext' (number expected, got " .. type(kind) .. ")", 2)
      end
      return slow.hs_extension(kind)
    end

    function hello.get_client_hello_ext_present()
      check()
      return slow.hs_list "extensions"
    end

    function hello.get_client_hello_ciphers()
      check()
      return slow.hs_list "suites"
    end

    -- The last that the client names comes first, as in OpenResty.
    function hello.get_supported_versions()
      check()
      local all, why = slow.hs_list "versions"
      if not all then return nil, why end
      if #all == 0 then return nil end
      local names = {}
      for at = #all, 1, -1 do names[#names + 1] = VERSIONS[all[at]] end
      return names
    end

    function hello.set_protocols(protocols)
      check()
      local known, on = {}, {}
      for _, name in pl.pairs(VERSIONS) do known[name] = true end
      for _, name in ipairs(protocols) do
        if not known[name] then return nil, "invalid protocols failed" end
        on[name] = true
      end
      return slow.hs_protocols(on["TLSv1.2"] or false, on["TLSv1.3"] or false)
    end

    return hello
  end

  preload["ngx.ssl.session"] = function()
    local fetch, store = only { ssl_session_fetch = true }, only { ssl_session_store = true }
    local both = only { ssl_session_fetch = true, ssl_session_store = true }
    local session = { version = "0.1.33" }

    function session.get_session_id()
      both()
      local id, why = slow.hs_session()
      if not id then return nil, why end
      return (id:gsub(".", function(byte) return (("%02x"):format(byte:byte())) end))
    end

    function session.get_serialized_session()
      store()
      local id, value = slow.hs_session()
      if not id then return nil, value end
      return value
    end

    function session.set_serialized_session(value)
      fetch()
      expect_string(value, "set_serialized_session", 3)
      local id, why = slow.hs_session(value)
      if not id then return nil, why end
      return true
    end

    return session
  end

  preload["ngx.ssl.proxysslcert"] = function()
    local module = { version = "0.1.33" }
    showing { module = module, check = only { proxy_ssl_cert = true } }
    return module
  end

  -- The version is known once the endpoint has answered.
  preload["ngx.proxyssl"] = function()
    local module = { version = "0.1.33" }
    function module.get_tls1_version()
      in_exchange()
      return slow.hs_version(true)
    end
    function module.get_tls1_version_str()
      in_exchange()
      local version, why = slow.hs_version(true)
      if not version then return nil, why end
      return VERSIONS[version]
    end
    return module
  end

  preload["ngx.ssl.proxysslverify"] = function()
    local check = only { proxy_ssl_verify = true }
    local verify = { version = "0.1.33" }

    function verify.set_verify_result(result)
      check()
      if type(result) ~= "number" then
        error("bad argument #1 to 'set_verify_result' (number expected, got " .. type(result) .. ")", 2)
      end
      local set, why = slow.hs_flaw(result)
      if not set then return nil, why end
      return true
    end

    function verify.get_verify_result()
      check()
      return slow.hs_flaw()
    end

    function verify.get_verify_cert()
      check()
      local number, why = slow.hs_shown()
      if not number then return nil, why end
      return token.new(number)
    end

    return verify
  end

  preload["ngx.ocsp"] = function() return pl.part("ngx/ocsp")(world, in_exchange) end
end
