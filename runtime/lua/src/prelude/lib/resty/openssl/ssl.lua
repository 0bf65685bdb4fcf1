-- `resty.openssl.ssl`: what a connection's handshake has shown.
local pl = ...
local slow = pl.slow
local chain = pl.part("lib/resty/openssl/x509/chain")
local type, setmetatable = type, setmetatable

-- Where a socket of ngx.socket keeps its handle.
local HANDLE = 1

local module = {}
local meta = { __index = module }

function module.from_socket(socket)
  local shown, why = slow.socket_peer(type(socket) == "table" and socket[HANDLE] or nil)
  if not shown then return nil, "ssl.from_socket: " .. why end
  return (setmetatable({ shown = shown }, meta))
end

function module:get_peer_cert_chain() return chain.of(self.shown) end

function module:get_peer_certificate()
  local all, why = chain.of(self.shown)
  if not all then return nil, why end
  return all[1]
end

return module
