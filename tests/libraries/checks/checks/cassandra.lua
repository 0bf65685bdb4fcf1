local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local cassandra = require "cassandra"
local peers = kit.peers

local function connected(more)
  local options = { host = "127.0.0.1", port = peers.cassandra.port, keyspace = "test" }
  for key, value in pairs(more or {}) do options[key] = value end
  local peer = assert(cassandra.new(options))
  peer:settimeout(2000)
  local ok, why = peer:connect()
  if not ok then return nil, why end
  return peer
end

return {
  { "queries", function()
    local peer = assert(connected())
    for id, name in ipairs { "Ada", "Bob", "Eve" } do
      assert(peer:execute("INSERT INTO users(id, name, age) VALUES(?, ?, ?)", { id, name, 40 + id }))
    end
    local rows = assert(peer:execute("SELECT * FROM users WHERE id = ?", { 2 }))
    equal({ rows.type, #rows, rows[1] }, { "ROWS", 1, { id = 2, name = "Bob", age = 42 } })
    equal(#assert(peer:execute("SELECT * FROM users")), 3)
    fails("~%[Syntax error%]", peer:execute("SELECT nonsense"))
    peer:close()
  end },
  { "prepared queries and batches", function()
    local peer = assert(connected())
    local prepared = assert(peer:prepare("INSERT INTO users(id, name, age) VALUES(?, ?, ?)"))
    equal(#prepared.meta.columns, 3)
    assert(peer:execute(prepared.query_id, { 4, "Joe", 44 }, { prepared = true }))
    assert(peer:batch({
      { "INSERT INTO users(id, name, age) VALUES(?, ?, ?)", { 5, "Kim", 45 } },
      { "INSERT INTO users(id, name, age) VALUES(?, ?, ?)", { 6, "Lee", 46 } },
    }))
    equal(#assert(peer:execute("SELECT * FROM users")), 6)
    peer:close()
  end },
  { "pages", function()
    local peer, pages, count = assert(connected()), 0, 0
    for rows, why in peer:iterate("SELECT * FROM users", nil, { page_size = 4 }) do
      equal(why, nil)
      pages, count = pages + 1, count + #rows
    end
    equal({ pages, count }, { 2, 6 })
    peer:close()
  end },
  { "an older version of the protocol", function()
    local peer = assert(connected({ port = peers.cassandra_old.port }))
    equal(peer.protocol_version, 3)
    equal(#assert(peer:execute("SELECT * FROM users")), 0)
    peer:close()
  end },
  { "signing in", function()
    local auth = cassandra.auth_providers.plain_text("app", "secret")
    local peer = assert(connected({ port = peers.cassandra_password.port, auth = auth }))
    equal(#assert(peer:execute("SELECT * FROM users")), 0)
    peer:close()
    fails("authentication required", connected({ port = peers.cassandra_password.port }))
    fails("~%[Bad credentials%]", connected({
      port = peers.cassandra_password.port, auth = cassandra.auth_providers.plain_text("app", "other"),
    }))
  end },
  { "TLS", function()
    local peer = assert(connected({ port = peers.cassandra_tls.port, ssl = true }))
    equal(#assert(peer:execute("SELECT * FROM users")), 0)
    peer:close()
  end },
  { "connections are kept", function()
    local before = tonumber(kit.ask "connections cassandra")
    local peer = assert(connected({ keyspace = "kept" }))
    for _ = 1, 3 do
      assert(peer:setkeepalive(10000, 5))
      peer = assert(connected({ keyspace = "kept" }))
    end
    equal(tonumber(kit.ask "connections cassandra") - before, 1)
    peer:close()
  end },
  { "a cluster", function()
    local Cluster = require "resty.cassandra.cluster"
    local cluster = assert(Cluster.new({
      shm = "cassandra", contact_points = { "127.0.0.1" }, default_port = peers.cassandra.port, keyspace = "test",
    }))
    assert(cluster:refresh())
    equal(#assert(cluster:execute("SELECT * FROM users")), 6)
    local rows = assert(cluster:execute("SELECT * FROM users WHERE id = ?", { 2 }, { prepared = true }))
    equal(rows[1].name, "Bob")
    for rows in cluster:iterate("SELECT * FROM users", nil, { page_size = 5 }) do equal(#rows > 0, true) end
  end },
  { "nodes that fail", function()
    fails("~connection refused", connected({ port = 1 }))
    local peer = assert(connected({ port = kit.relay(peers.cassandra.port, "close", 60) }))
    fails("closed", peer:execute("SELECT * FROM users"))
    peer = assert(connected({ port = kit.relay(peers.cassandra.port, "stall", 60), keyspace = "stall" }))
    peer:settimeout(200)
    fails("timeout", peer:execute("SELECT * FROM users"))
  end },
}
