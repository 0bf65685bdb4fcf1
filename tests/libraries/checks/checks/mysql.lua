local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local mysql = kit.lib "mysql"
local peer = kit.peers.mariadb

local function connected(more)
  local db = assert(mysql:new())
  db:set_timeout(5000)
  local options = { host = "127.0.0.1", port = peer.port, database = "test", user = "app", password = "secret" }
  for key, value in pairs(more or {}) do options[key] = value end
  local ok, why, code, state = db:connect(options)
  if not ok then return nil, why, code, state end
  return db
end

return {
  { "tables, rows and counts", function()
    local db = assert(connected())
    equal(db:server_ver():find("MariaDB") ~= nil, true)
    assert(db:query("drop table if exists cats"))
    assert(db:query("create table cats (id serial primary key, name varchar(50), weight double, born date)"))
    local answer = assert(db:query(
      "insert into cats (name, weight, born) values ('Bob', 1.5, '2020-01-02'), ('', -1, null)"))
    equal({ answer.affected_rows, answer.insert_id }, { 2, 1 })
    equal(assert(db:query("select * from cats order by id")), {
      { id = "1", name = "Bob", weight = 1.5, born = "2020-01-02" },
      { id = "2", name = "", weight = -1, born = ngx.null },
    })
    db:close()
  end },
  { "prepared statements", function()
    local db = assert(connected())
    assert(db:query("prepare one from 'select name from cats where id = ?'"))
    assert(db:query("set @id = 1"))
    equal(assert(db:query("execute one using @id")), { { name = "Bob" } })
    assert(db:query("deallocate prepare one"))
    db:close()
  end },
  { "several results, compact rows, long values", function()
    local db = assert(connected({ compact_arrays = true, max_packet_size = 8 * 1024 * 1024 }))
    local rows, why = db:query("select 1; select 2, 3; select 4")
    equal({ rows, why }, { { { 1 } }, "again" })
    equal({ db:read_result() }, { { { 2, 3 } }, "again" })
    equal({ db:read_result() }, { { { 4 } } })
    equal(#assert(db:query("select repeat('x', 3000000)"))[1][1], 3000000)
    equal(#assert(db:query("select seq from seq_1_to_5000", 5000)), 5000)
    db:close()
  end },
  { "the server's refusals", function()
    local db = assert(connected())
    local rows, why, code, state = db:query("select * from dogs")
    equal({ rows, why, code, state }, { nil, "Table 'test.dogs' doesn't exist", 1146, "42S02" })
    equal(#assert(db:query("select 1")), 1)
    db:close()
    local _, message, number = connected({ password = "other" })
    equal({ message:find("^Access denied") ~= nil, number }, { true, 1045 })
    fails("~^Access denied", connected({ database = "none" }))
  end },
  { "a socket of Unix", function()
    local db = assert(connected({ path = peer.unix }))
    equal(assert(db:query("select 1 as x")), { { x = 1 } })
    db:close()
  end },
  { "TLS", function()
    local db = assert(connected({ ssl = true, ssl_verify = false, pool = "secure" }))
    equal(assert(db:query("show status like 'Ssl_version'"))[1].Value:find("^TLSv1") ~= nil, true)
    assert(db:set_keepalive(10000, 10))
    db = assert(connected({ ssl = true, ssl_verify = false, pool = "secure" }))
    equal({ db:get_reused_times(), (assert(db:query("select 1 as x"))) }, { 1, { { x = 1 } } })
    db:close()
  end },
  { "the user of an Ed25519 key", function()
    local db = assert(connected({ user = "modern" }))
    equal(assert(db:query("select current_user() as me")), { { me = "modern@127.0.0.1" } })
    db:close()
    fails("~Access denied", connected({ user = "modern", password = "other" }))
  end },
  { "connections are kept", function()
    local db = assert(connected({ pool = "kept" }))
    local id = assert(db:query("select connection_id() as id"))[1].id
    for n = 1, 3 do
      assert(db:set_keepalive(10000, 5))
      db = assert(connected({ pool = "kept" }))
      equal({ db:get_reused_times(), assert(db:query("select connection_id() as id"))[1].id }, { n, id })
    end
    db:close()
  end },
  { "a query that takes too long", function()
    local db = assert(connected())
    db:set_timeout(100)
    fails("~timeout", db:query("select sleep(2)"))
    db:close()
  end },
  { "a server that dies in the middle of a reply", function()
    for ending, why in pairs { close = "~closed", reset = "~reset", stall = "~timeout" } do
      local db = assert(connected({ port = kit.relay(peer.port, ending, 500), pool = ending }))
      db:set_timeout(300)
      fails(why, db:query("select repeat('x', 1000)"))
    end
    fails("~closed", connected({ port = kit.relay(peer.port, "close", 20) }))
  end },
  { "a restart between two uses of a pool", function()
    local db = assert(connected({ pool = "restarted" }))
    assert(db:set_keepalive(10000, 5))
    kit.ask "restart mariadb"
    db = assert(connected({ pool = "restarted" }))
    equal({ db:get_reused_times(), (assert(db:query("select 1 as x"))) }, { 0, { { x = 1 } } })
    db:close()
  end },
}
