local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local http = kit.lib "http"
local decode = require("cjson").decode
local peers = kit.peers
local web, webs = "http://127.0.0.1:" .. peers.web.port, "https://localhost:" .. peers.webs.port

local function made()
  local client = assert(http.new())
  client:set_timeouts(2000, 2000, 5000)
  return client
end

return {
  { "a simple request", function()
    local answer = assert(made():request_uri(web .. "/echo?a=1", {
      method = "POST", body = "x=1&y=2", headers = { ["Content-Type"] = "application/x-www-form-urlencoded" },
    }))
    local said = decode(answer.body)
    equal({ answer.status, answer.reason, answer.has_body, said.method, said.query, said.body },
      { 200, "OK", true, "POST", "a=1", "x=1&y=2" })
    equal(said.headers["user-agent"]:find("^lua%-resty%-http/") ~= nil, true)
    answer = assert(made():request_uri(web .. "/echo", { query = { b = "2 3" } }))
    equal(decode(answer.body).query, "b=2%203")
    equal(made():request_uri(web .. "/none").status, 404)
    equal(assert(made():request_uri(web .. "/nothing")).status, 204)
  end },
  { "heads without bodies, fields that repeat, bodies without length", function()
    local answer = assert(made():request_uri(web .. "/echo", { method = "HEAD" }))
    equal({ answer.status, answer.has_body }, { 200, false })
    equal(assert(made():request_uri(web .. "/twice")).headers["Set-Cookie"], { "a=1", "b=2" })
    equal(assert(made():request_uri(web .. "/until-close")).body, "all of it")
    equal(#assert(made():request_uri(web .. "/chunked")).body, 25008)
  end },
  { "a body that is read in parts", function()
    local client = made()
    assert(client:connect({ scheme = "http", host = "127.0.0.1", port = peers.web.port }))
    local answer = assert(client:request({ path = "/chunked" }))
    local size, chunks = 0, 0
    repeat
      local chunk = assert(answer.body_reader(4096) or "")
      size, chunks = size + #chunk, chunks + 1
    until chunk == ""
    equal({ size, chunks > 6 }, { 25008, true })
    assert(client:set_keepalive())
  end },
  { "a body that is sent in parts", function()
    local client, parts = made(), { "one ", "two ", "three" }
    assert(client:connect({ scheme = "http", host = "127.0.0.1", port = peers.web.port }))
    local answer = assert(client:request({
      method = "PUT", path = "/echo", headers = { ["Content-Length"] = 13 },
      body = function() return table.remove(parts, 1) end,
    }))
    equal(decode(assert(answer:read_body())).body, "one two three")
    client:close()
  end },
  { "pipelines", function()
    local client = made()
    assert(client:connect({ scheme = "http", host = "127.0.0.1", port = peers.web.port }))
    local answers = assert(client:request_pipeline({ { path = "/echo?1" }, { path = "/echo?2" }, { path = "/none" } }))
    local found = {}
    for n, answer in ipairs(answers) do found[n] = answer.status .. #assert(answer:read_body()) end
    equal({ #answers, answers[3].status }, { 3, 404 })
    client:close()
  end },
  { "connections are kept", function()
    local before = tonumber(kit.ask "connections one")
    for n = 0, 4 do
      local client = made()
      assert(client:connect({ scheme = "http", host = "127.0.0.1", port = peers.one.port }))
      equal(client:get_reused_times(), n)
      equal(assert(assert(client:request({ path = "/health" })):read_body()), "health")
      assert(client:set_keepalive(10000, 5))
    end
    equal(tonumber(kit.ask "connections one") - before, 1)
    local answer = assert(made():request_uri(web .. "/echo", { keepalive = false }))
    equal(answer.status, 200)
  end },
  { "TLS", function()
    local answer = assert(made():request_uri(webs .. "/echo", { ssl_verify = true }))
    equal(answer.status, 200)
    fails("~certificate", made():request_uri("https://127.0.0.1:" .. peers.webs.port .. "/echo",
      { ssl_verify = true, ssl_server_name = "elsewhere.test" }))
    equal(assert(made():request_uri(webs .. "/echo", { ssl_verify = false })).status, 200)
  end },
  { "a certificate of the client's", function()
    local ssl = require "ngx.ssl"
    local client = made()
    assert(client:connect({
      scheme = "https", host = "localhost", port = peers.webs.port, ssl_verify = true,
      ssl_client_cert = assert(ssl.parse_pem_cert(peers.certificates.client)),
      ssl_client_priv_key = assert(ssl.parse_pem_priv_key(peers.keys.client)),
    }))
    local answer = assert(client:request({ path = "/echo" }))
    equal(decode(assert(answer:read_body())).client, { commonName = "someone" })
    client:close()
  end },
  { "names, time-outs and servers that fail", function()
    equal(assert(made():request_uri("http://home.test:" .. peers.web.port .. "/health")).body, "health")
    fails("~could not be resolved", made():request_uri("http://nowhere.test/"))
    fails("connection refused", made():request_uri("http://127.0.0.1:1/"))
    local client = made()
    client:set_timeouts(1000, 1000, 100)
    fails("timeout", client:request_uri(web .. "/slow"))
    fails("~closed", made():request_uri(web .. "/partial"))
    for ending, why in pairs { close = "~closed", reset = "~reset", stall = "~timeout" } do
      client = made()
      client:set_timeouts(1000, 1000, 300)
      fails(why, client:request_uri("http://127.0.0.1:" .. kit.relay(peers.web.port, ending, 60) .. "/echo"))
    end
  end },
  { "a proxied request", client = "post", silent = true, function()
    -- As the README does it: this request's body goes on, and the answer comes back.
    local client = made()
    assert(client:connect({ scheme = "http", host = "127.0.0.1", port = peers.web.port }))
    local reader = assert(client:get_client_body_reader(4))
    local answer = assert(client:request({
      method = ngx.req.get_method(), path = "/echo", body = reader, headers = ngx.req.get_headers(),
    }))
    equal(decode(assert(answer:read_body())).body, "a=1&b=2")
    client:close()
    ngx.print("ok")
  end },
}
