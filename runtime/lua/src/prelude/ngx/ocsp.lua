-- ngx.ocsp: what is asked about a certificate, what the answer is worth, and showing it to clients.
local pl = ...
local slow = pl.slow
local type, error = type, error

local ROOM = 4096

local function expect(value, place, name)
  if type(value) ~= "string" then
    error("bad argument #" .. place .. " to '" .. name .. "' (string expected, got "
      .. type(value) .. ")", 3)
  end
end

return function(_, in_exchange)
  local ocsp = { version = "0.1.33" }

  function ocsp.get_ocsp_responder_from_der_chain(chain, most)
    expect(chain, 1, "get_ocsp_responder_from_der_chain")
    most = most or ROOM
    local url, why = slow.ocsp_responder(chain)
    if not url then return nil, why end
    if #url > most then return url:sub(1, most), "truncated" end
    return url
  end

  function ocsp.create_ocsp_request(chain, most)
    expect(chain, 1, "create_ocsp_request")
    most = most or ROOM
    local request, why = slow.ocsp_request(chain)
    if not request then return nil, why end
    if #request > most then
      return nil, "output buffer too small: " .. #request .. " > " .. most
    end
    return request
  end

  function ocsp.validate_ocsp_response(response, chain, most)
    expect(response, 1, "validate_ocsp_response")
    expect(chain, 2, "validate_ocsp_response")
    local ok, why = slow.ocsp_check(response, chain)
    if ok then return true end
    return nil, why:sub(1, most or ROOM)
  end

  function ocsp.set_ocsp_status_resp(response)
    in_exchange()
    expect(response, 1, "set_ocsp_status_resp")
    local ok, asked = slow.hs_staple(response)
    if not ok then return nil, asked end
    if not asked then return true, "no status req" end
    return true
  end

  return ocsp
end
