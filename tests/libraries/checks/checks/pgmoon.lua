local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local pgmoon = require "pgmoon"
local peer = kit.peers.postgresql

local function made(more)
  local options = { host = "127.0.0.1", port = peer.port, database = "test", user = "app", password = "secret" }
  for key, value in pairs(more or {}) do options[key] = value end
  local pg = pgmoon.new(options)
  pg:settimeout(5000)
  return pg
end

local function connected(more)
  local pg = made(more)
  assert(pg:connect())
  return pg
end

return {
  { "tables, rows and counts", function()
    local pg = connected()
    assert(pg:query("drop table if exists cats; create table cats (id serial, name text, weight float8, good boolean)"))
    equal(assert(pg:query("insert into cats (name, weight, good) values ('Bob', 1.5, true), (null, -1, false)")),
      { affected_rows = 2 })
    equal(assert(pg:query("select * from cats order by id")), {
      { id = 1, name = "Bob", weight = 1.5, good = true }, { id = 2, weight = -1, good = false },
    })
    equal(assert(pg:query("update cats set weight = 2 returning id")), { { id = 1 }, { id = 2 }, affected_rows = 2 })
    pg:disconnect()
  end },
  { "parameters: the extended protocol", function()
    local pg = connected()
    equal(assert(pg:query("select name, weight from cats where name = $1 and id = $2", "Bob", 1)),
      { { name = "Bob", weight = 2 } })
    equal(assert(pg:query("select $1::text as t, $2::boolean as b, $3::text as n", "it's; \"x\"", true, pg.NULL)),
      { { t = "it's; \"x\"", b = true } })
    equal(#assert(pg:query("select repeat($1, 200000) as long", "xyz"))[1].long, 600000)
    fails("~invalid input syntax", pg:query("select $1::int", "x"))
    equal(assert(pg:query("select 1 as x")), { { x = 1 } })
    pg:disconnect()
  end },
  { "several statements, and JSON", function()
    local pg = connected()
    local rows, count = pg:query("select 1 as a; select 2 as b")
    equal({ rows, count }, { { { { a = 1 } }, { { b = 2 } } }, 2 })
    equal(assert(pg:query("select '{\"x\": [1, \"b\"]}'::json as j")), { { j = { x = { 1, "b" } } } })
    equal(pg:escape_literal("it's"), "'it''s'")
    -- Arrays and hstore take lpeg, which is C: a failure that leaves the connection busy.
    fails("~module 'lpeg' not found", pcall(pg.query, pg, "select array[1]"))
    pg.sock:close()
  end },
  { "the server's refusals", function()
    local pg = connected()
    fails("~relation \"dogs\" does not exist", pg:query("select * from dogs"))
    equal(assert(pg:query("select 1 as x")), { { x = 1 } })
    pg:disconnect()
    fails("~unsuccessful", made({ password = "other" }):connect())
    fails("~database \"none\" does not exist", made({ database = "none" }):connect())
  end },
  { "ways to sign in", function()
    for _, user in ipairs { "app", "old", "plain", "trusted" } do
      local pg = connected({ user = user })
      equal(assert(pg:query("select current_user as me")), { { me = user } })
      pg:disconnect()
    end
    fails("~password authentication failed", made({ user = "old", password = "other" }):connect())
  end },
  { "TLS", function()
    local pg = connected({ ssl = true, ssl_required = true, user = "old", pool_name = "secure" })
    equal(assert(pg:query("select ssl, version like 'TLSv1.%' as v from pg_stat_ssl where pid = pg_backend_pid()")),
      { { ssl = true, v = true } })
    pg:disconnect()
  end },
  { "TLS, and SCRAM bound to its certificate", function()
    local pg = connected({ ssl = true, ssl_required = true, pool_name = "bound" })
    equal(assert(pg:query("select current_user as me")), { { me = "app" } })
    pg:disconnect()
  end },
  { "connections are kept", function()
    local pg = connected({ pool_name = "kept" })
    local pid = assert(pg:query("select pg_backend_pid() as pid"))[1].pid
    for n = 1, 3 do
      assert(pg:keepalive(10000, 5))
      pg = connected({ pool_name = "kept" })
      equal({ pg.sock:getreusedtimes(), assert(pg:query("select pg_backend_pid() as pid"))[1].pid }, { n, pid })
    end
    pg:disconnect()
  end },
  { "notifications", function()
    local listener, speaker = connected(), connected()
    assert(listener:query("listen dogs"))
    local thread = ngx.thread.spawn(listener.wait_for_notification, listener)
    assert(speaker:query("notify dogs, 'hello'"))
    local _, heard = ngx.thread.wait(thread)
    equal({ heard.channel, heard.payload }, { "dogs", "hello" })
    listener:disconnect()
    speaker:disconnect()
  end },
  { "a query that takes too long", function()
    local pg = connected()
    pg:settimeout(100)
    fails("~timeout", pg:query("select pg_sleep(2)"))
    pg:disconnect()
  end },
  { "a server that dies in the middle of a reply", function()
    -- What went wrong within a message pgmoon finds out with the next.
    for ending, why in pairs { close = "~closed", reset = "~closed", stall = "~timeout" } do
      local pg = connected({ port = kit.relay(peer.port, ending, 2000), pool_name = ending })
      pg:settimeout(300)
      fails(why, pg:query("select repeat('x', 10000) as long"))
    end
    fails("~closed", made({ port = kit.relay(peer.port, "close", 3) }):connect())
  end },
  { "a restart between two uses of a pool", function()
    local pg = connected({ pool_name = "restarted" })
    assert(pg:keepalive(10000, 5))
    kit.ask "restart postgresql"
    kit.till("the server's start", function() return made({ pool_name = "restarted" }):connect() end)
    pg = connected({ pool_name = "restarted" })
    equal({ pg.sock:getreusedtimes(), (assert(pg:query("select 1 as x"))) }, { 0, { { x = 1 } } })
    pg:disconnect()
  end },
}
