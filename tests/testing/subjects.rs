//! Filters of every kind, through all their phases.

use super::{folder, out, passes, pilotlight};

#[test]
fn a_filter_goes_through_all_its_phases() {
    passes(&[
        (
            "filters/f.lua",
            r#"
local words = require "words"
local f = {}
function f.request(req, ctx)
  ctx.path = req.path
  if req.client.address == "192.0.2.9" then return { status = 403, body = words.no } end
  if req.tls then req.headers["x-who"] = req.tls.client.subject end
  req.path = "/inner" .. req.path
  req:set_args { w = "3" }
end
function f.request_body(chunk, last) return chunk:upper() end
function f.request_trailers(trailers) end
function f.response(res) res.headers["x-from"], res.status = res.from, res.status + 1 end
function f.response_body(chunk, last, ctx)
  if last then return chunk .. "!" end
  return "[" .. chunk .. "]"
end
function f.log(entry, ctx) entry.path = ctx.path end
return f"#,
        ),
        ("filters/words.lua", "return { no = 'no way' }"),
        (
            "filters/f_test.lua",
            r#"
local t = require "pilotlight.test"
local words = require "words"
local tests = {}
function tests.on_the_way_up()
  local r = t.filter("f.lua"):request {
    method = "POST", path = "/a?q=1", body = { "ab", "cd" }, host = "shop.test",
    headers = { ["x-many"] = { "1", "2" } },
    tls = { client = { subject = "CN=device" } },
  }
  t.equal(r.request.path, "/inner/a")
  t.equal(r.request.query, "w=3")
  t.equal(r.request.host, "shop.test")
  t.equal(r.request.body, "ABCD")
  t.equal(r.request.headers["X-Who"], "CN=device")
  t.same(r.request.headers["x-many"], { "1", "2" })
end
function tests.on_the_way_down()
  local r = t.filter("f.lua"):request {
    response = { status = 201, body = { "one", "two" }, trailers = { sum = "9" } },
  }
  t.same(r.chunks, { "[one]", "[two]", "!" })
  t.same(r.trailers, { sum = "9" })
  t.equal(r.status, 202)
  t.same(r.headers, { ["x-from"] = "upstream" })
  t.equal(r.answered_by, "upstream")
  t.same(r.log, { path = "/" })
end
function tests.an_answer_of_a_function()
  local r = t.filter("f.lua"):request {
    path = "/a", response = function(request) return { body = request.path } end,
  }
  t.equal(r.body, "[/inner/a]!")
end
function tests.an_upstream_that_is_away()
  local r = t.filter("f.lua"):request { response = false }
  t.same({ r.status, r.headers["x-from"], r.answered_by }, { 503, "gateway", "gateway" })
end
function tests.an_answer_of_its_own()
  local r = t.filter("f.lua"):request { client = "192.0.2.9" }
  t.equal(r.status, 403)
  t.equal(r.body, words.no)
  t.equal(r.answered_by, "filter")
  t.equal(r.request, nil)
end
return tests"#,
        ),
    ]);
}

#[test]
fn errors_of_filters_are_results() {
    passes(&[
        (
            "f.lua",
            r#"
local f = {}
function f.init(config) assert(config and config.ok, "ok is required") end
function f.request(req) if req.path == "/fail" then error "oh no" end end
return f"#,
        ),
        (
            "f_test.lua",
            r#"
local t = require "pilotlight.test"
local tests = {}
function tests.of_a_phase()
  local r = t.filter("f.lua", { ok = true }):request { path = "/fail" }
  t.equal(r.status, 500)
  t.equal(r.answered_by, "gateway")
  t.equal(r.error:match "f.lua:4: oh no$", "f.lua:4: oh no")
end
function tests.with_on_error_open()
  local r = t.filter("f.lua", { ok = true }, { on_error = "open" }):request { path = "/fail" }
  t.equal(r.status, 200)
  t.equal(r.error:match "oh no$", "oh no")
end
function tests.of_init()
  t.fails(function() t.filter "f.lua" end, "f%.lua:3: ok is required")
end
return tests"#,
        ),
    ]);
}

#[test]
fn scripts_of_the_dialects_are_driven_the_same_way() {
    passes(&[
        (
            "access.lua",
            r#"
if ngx.var.http_x_key ~= "k" then return ngx.exit(ngx.HTTP_FORBIDDEN) end
ngx.shared.seen:incr("n", 1, 0)
ngx.req.set_header("x-tenant", ngx.var.tenant)"#,
        ),
        ("header.lua", "ngx.header['x-n'] = ngx.shared.seen:get('n')"),
        ("content.lua", "ngx.say('hello ', ngx.var.arg_name)"),
        ("target.lua", "return function(req) return { status = 200, body = req.method } end"),
        (
            "lua/kong/plugins/marker/handler.lua",
            r#"
local Marker = { PRIORITY = 1000, VERSION = "1.0.0" }
function Marker:access(conf)
  if kong.request.get_path() == "/stop" then return kong.response.exit(418, { stop = true }) end
  kong.service.request.set_header("x-mark", conf.mark)
end
function Marker:header_filter(conf) kong.response.set_header("x-marked", conf.mark) end
return Marker"#,
        ),
        (
            "lua/kong/plugins/marker/schema.lua",
            r#"
return { name = "marker", fields = {
  { config = { type = "record", fields = { { mark = { type = "string", required = true } } } } },
} }"#,
        ),
        (
            "f_test.lua",
            r#"
local t = require "pilotlight.test"
local tests = {}
function tests.openresty()
  local filter = t.openresty(
    { access = "access.lua", header_filter = "header.lua" }, { vars = { tenant = "t1" } })
  t.equal(filter:request {}.status, 403)
  local r = filter:request { headers = { ["x-key"] = "k" } }
  t.equal(r.status, 200)
  t.equal(r.request.headers["x-tenant"], "t1")
  t.equal(r.headers["x-n"], "1")
  t.equal(gateway.shared("seen"):get "n", 1)
end
function tests.content()
  local r = t.openresty { content = "content.lua" }:request { path = "/?name=you" }
  t.equal(r.body, "hello you\n")
  t.equal(r.answered_by, "filter")
end
function tests.target()
  t.equal(t.target("target.lua"):request { method = "PUT" }.body, "PUT")
end
function tests.kong()
  local plugin = t.kong("marker", { mark = "m" })
  local r = plugin:request { path = "/go" }
  t.equal(r.request.headers["x-mark"], "m")
  t.equal(r.headers["x-marked"], "m")
  t.equal(plugin:request { path = "/stop" }.status, 418)
  t.fails(function() t.kong("marker", {}) end, "mark")
end
return tests"#,
        ),
    ]);
}

/// Puts a field into each request: its name and value are its own.
const WASM: &str = r#"(module
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-wasmyes")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 6) (i32.const 3)))
    (i32.const 0)))"#;

#[test]
fn wasm_filters_are_driven_the_same_way() {
    let folder = folder(&[(
        "f_test.lua",
        r#"
local t = require "pilotlight.test"
return { a_field_is_added = function()
  local r = t.filter("f.wasm", { any = "config" }):request { response = "body" }
  t.equal(r.request.headers["x-wasm"], "yes")
  t.equal(r.body, "body")
end }"#,
    )]);
    folder.write("f.wasm", wat::parse_str(WASM).unwrap());
    let output = pilotlight(folder.path(), &["test"]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(!folder.path().join("cache").exists(), "nothing is left beside the tests");
}

/// The nearest manifest says where scripts are and which dictionaries there are.
#[test]
fn the_manifest_beside_the_tests_counts() {
    passes(&[
        (
            "pilotlight.toml",
            r#"
[lua]
path = ["share/?.lua"]
[shared.known]
size = "1MiB"
[[listeners]]
address = "127.0.0.1:0"
"#,
        ),
        ("share/helper.lua", "return { name = 'helped' }"),
        (
            "filters/f.lua",
            r#"
local helper = require "helper"
return { request = function(req)
  gateway.shared("known"):set("name", helper.name)
  if req.path == "/other" then gateway.shared("other") end
end }"#,
        ),
        (
            "filters/f_test.lua",
            r#"
local t = require "pilotlight.test"
return { both = function()
  local filter = t.filter "f.lua"
  filter:request {}
  t.equal(gateway.shared("known"):get "name", "helped")
  local why = filter:request { path = "/other" }.error
  t.equal(why:match "has no %[shared.other%]", "has no [shared.other]")
end }"#,
        ),
    ]);
}
