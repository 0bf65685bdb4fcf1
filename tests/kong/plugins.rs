//! How the gateway runs plugins: their order, their answers and errors, what it refuses.

use std::process::Command;

use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::message::{Protocol, ask};
use crate::support::{Answer, Folder, Request, Script, Upstream, run};
use crate::tidy::root;

const SCHEMA: &str = r#"
local typedefs = require "kong.db.schema.typedefs"
return {
  name = "mark",
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { word = { type = "string", required = true, default = "none" } },
      { count = { type = "integer", between = { 1, 9 } } },
      { names = { type = "array", elements = typedefs.header_name } },
      { redis = { type = "record", fields = { { host = typedefs.host }, { port = typedefs.port } } } },
    } } },
  },
  entity_checks = { { mutually_required = { "config.redis.host", "config.redis.port" } } },
}
"#;

/// A plugin that does nothing.
const HANDLER: &str = "return { PRIORITY = 1, VERSION = '1.0.0', access = function() end }";

/// The plugin `mark` with these methods, twice in a chain: as "one" and as "two".
fn marks(methods: &str) -> Setup {
    setup(&format!("local Mark = {{ PRIORITY = 5, VERSION = '0.1.0' }}{methods}return Mark\n"))
}

fn setup(handler: &str) -> Setup {
    let rest = r#"
[[routes]]
name = "here"
filters = ["one", "two"]
respond = { body = "target\n" }
[filters.one]
kong = "mark"
config = { word = "one" }
[filters.two]
kong = "mark"
config = { word = "two" }
[lua]
path = ["?.lua"]
"#;
    Setup::new(rest)
        .file("kong/plugins/mark/handler.lua", handler)
        .file("kong/plugins/mark/schema.lua", SCHEMA)
}

/// The same before an upstream that says "hello".
async fn marks_before_upstream(methods: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::always(Script::ok("hello")).await;
    let target =
        format!("upstream = \"up\"\n[upstreams.up]\nendpoints = [\"http://{}\"]", upstream.address);
    let mut setup = marks(methods);
    setup.rest = setup.rest.replace("respond = { body = \"target\\n\" }", &target);
    (upstream, setup.start().await)
}

async fn get(gateway: &Gateway) -> Answer {
    ask(Protocol::H1, gateway, &Request::get("/")).await
}

/// The chain's order on the request, the reverse on the response; each instance has its own `ctx.plugin`.
#[test]
fn plugins_keep_the_order_of_the_chain() {
    let methods = r#"
function Mark:access(conf)
  local seen = kong.ctx.shared.seen or {}
  kong.ctx.shared.seen = seen
  seen[#seen + 1] = conf.word
  kong.ctx.plugin.word = conf.word
end
function Mark:header_filter(conf)
  assert(kong.ctx.plugin.word == conf.word)
  kong.response.add_header("x-request", table.concat(kong.ctx.shared.seen, ","))
  kong.response.add_header("x-response", conf.word)
end
"#;
    run(async {
        let gateway = marks(methods).start().await;
        let answer = get(&gateway).await;
        assert_eq!(answer.all("x-request")[0], "one,two", "{answer}");
        assert_eq!(answer.all("x-response"), ["two", "one"], "{answer}");
    });
}

/// `init_worker` once, `configure` with all configurations, before the first exchange has a phase.
#[test]
fn a_plugin_starts_once_in_a_worker() {
    let methods = r#"
local started, words = 0, ""
function Mark:init_worker() started = started + 1 end
function Mark:configure(configs)
  words = ""
  for _, conf in ipairs(configs) do words = words .. conf.word .. " " end
end
function Mark:access(conf)
  kong.response.set_header("x-" .. conf.word, started .. " " .. words .. ngx.get_phase())
end
"#;
    run(async {
        let gateway = marks(methods).start().await;
        for _ in 0..2 {
            let answer = get(&gateway).await;
            assert_eq!(answer.field("x-two"), Some("1 one two access"), "{answer}");
        }
    });
}

/// An answer ends access for good: nothing of the plugin's or of those behind it runs on. What comes
/// back passes all of them, and all log it.
#[test]
fn an_exit_ends_the_chain() {
    let methods = r#"
function Mark:access(conf)
  kong.response.set_header("x-" .. conf.word, "ran")
  if conf.word == "one" then
    pcall(function() kong.response.exit(403, "no\n") end)
    kong.response.set_header("x-after", "ran")
  end
end
function Mark:header_filter(conf) kong.response.add_header("x-back", conf.word) end
function Mark:body_filter(conf)
  local body = kong.response.get_raw_body()
  if body then kong.response.set_raw_body(body .. conf.word .. "\n") end
end
function Mark:log(conf)
  kong.log.err("logged ", conf.word, " ", kong.response.get_status(), " ", kong.response.get_source())
end
"#;
    run(async {
        let gateway = marks(methods).start().await;
        let answer = get(&gateway).await;
        answer.assert(403);
        assert_eq!(answer.text(), "no\ntwo\none\n");
        assert_eq!((answer.field("x-one"), answer.field("x-two")), (Some("ran"), None), "{answer}");
        assert_eq!(answer.field("x-after"), None, "{answer}");
        assert_eq!(answer.all("x-back"), ["two", "one"], "{answer}");
        gateway.logged(&["logged one 403 exit"]).await.unwrap();
        gateway.logged(&["logged two 403 exit"]).await.unwrap();
    });
}

/// An error in access is a 500 in Kong's words; its place is in the log.
#[test]
fn an_error_is_a_500() {
    let methods = r#"
function Mark:access() error("it broke") end
"#;
    run(async {
        let gateway = marks(methods).start().await;
        let answer = get(&gateway).await;
        answer.assert(500);
        assert_eq!(answer.text(), r#"{"message":"An unexpected error occurred"}"#);
        gateway.logged(&["mark/handler.lua:2: it broke", "[mark]"]).await.unwrap();
    });
}

/// `response` sees the whole body, and may answer in its place.
#[test]
fn a_response_is_seen_whole() {
    let methods = r#"
function Mark:access() end
function Mark:response(conf)
  if conf.word ~= "two" then return end
  local body = kong.service.response.get_raw_body()
  kong.response.set_header("x-seen", #body)
  if #body > 3 then kong.response.exit(202, body:upper()) end
end
"#;
    run(async {
        let (_upstream, gateway) = marks_before_upstream(methods).await;
        let answer = get(&gateway).await;
        answer.assert(202);
        assert_eq!(
            (answer.text().as_str(), answer.field("x-seen")),
            ("HELLO", Some("5")),
            "{answer}"
        );
    });
}

/// A plugin that asks for the whole body in `access` has it before the client does.
#[test]
fn a_body_is_buffered_where_a_plugin_asks() {
    let methods = r#"
function Mark:access(conf)
  if conf.word == "two" then kong.service.request.enable_buffering() end
end
function Mark:header_filter(conf)
  if conf.word == "two" then kong.response.set_header("x-seen", kong.service.response.get_raw_body()) end
end
"#;
    run(async {
        let (_upstream, gateway) = marks_before_upstream(methods).await;
        let answer = get(&gateway).await;
        assert_eq!(
            (answer.text().as_str(), answer.field("x-seen")),
            ("hello", Some("hello")),
            "{answer}"
        );
    });
}

/// Variables of Kong's nginx, and what tells one filter's plugin from another's.
#[test]
fn plugins_find_what_kongs_core_leaves_them() {
    let methods = r#"
function Mark:access(conf)
  local data = ngx.ctx.balancer_data
  kong.response.add_header("x-key", conf.__key__)
  kong.response.add_header("x-route", conf.route_id)
  if conf.word == "one" then return end
  kong.response.set_header("x-target", data.host .. ":" .. data.port .. " " .. data.try_count)
  kong.response.set_header("x-uri", ngx.var.upstream_scheme .. " " .. ngx.var.upstream_uri .. " " .. ngx.var.upstream_host)
  ngx.var.upstream_uri = "/changed?a=1"
  kong.response.set_header("x-changed", kong.request.get_path() .. " " .. ngx.var.upstream_uri .. " " .. ngx.var.args)
  local aws = require "resty.aws"
  kong.response.set_header("x-absent", select(2, pcall(aws, {})):match("module.*"))
end
"#;
    run(async {
        let (_upstream, gateway) = marks_before_upstream(methods).await;
        let answer = get(&gateway).await;
        let keys = answer.all("x-key");
        assert!(keys[0].starts_with("plugins:mark:") && keys[0] != keys[1], "{answer}");
        let routes = answer.all("x-route");
        assert!(routes.len() == 2 && routes[0] != routes[1], "{answer}");
        let field = |name| answer.field(name).unwrap();
        assert!(field("x-target").starts_with("127.0.0.1:"), "{answer}");
        assert!(field("x-uri").starts_with("http / "), "{answer}");
        assert_eq!(field("x-changed"), "/ /changed?a=1 a=1", "{answer}");
        assert_eq!(field("x-absent"), "module 'resty.aws' is not on [lua] path", "{answer}");
    });
}

/// What frames a request is told as the client sent it, and its body is there for loggers.
#[test]
fn plugins_see_how_a_body_came() {
    let methods = r#"
function Mark:access(conf)
  if conf.word == "one" then return end
  local headers = kong.request.get_headers()
  for _, name in ipairs { "content-length", "transfer-encoding", "expect" } do
    kong.response.set_header("x-" .. name, tostring(headers[name]))
  end
  kong.response.set_header("x-vars", tostring(ngx.var.http_transfer_encoding) .. tostring(ngx.var.http_expect))
  kong.service.request.set_header("content-length", 1)
  if headers["x-changed"] then
    kong.service.request.set_raw_body(kong.request.get_raw_body() .. "!")
  else
    kong.request.get_raw_body()
  end
end
function Mark:log(conf)
  if conf.word == "two" then kong.log.err("body: ", ngx.req.get_body_data(), ".") end
end
"#;
    run(async {
        let (upstream, gateway) = marks_before_upstream(methods).await;
        let told = |answer: &Answer, wanted: [&str; 4]| {
            let names = ["x-content-length", "x-transfer-encoding", "x-expect", "x-vars"];
            assert_eq!(names.map(|name| answer.field(name).unwrap()), wanted, "{answer}");
        };
        let whole = Request::new("POST", "/").field("x-changed", "1").body("whole");
        let answer = ask(Protocol::H1, &gateway, &whole).await;
        told(&answer, ["5", "nil", "nil", "nilnil"]);
        gateway.logged(&["body: whole!."]).await.unwrap();
        let mut chunks = Request::new("POST", "/").body("chunks");
        (chunks.sized, chunks.expects) = (false, true);
        let answer = ask(Protocol::H1, &gateway, &chunks).await;
        told(&answer, ["nil", "chunked", "100-continue", "chunked100-continue"]);
        gateway.logged(&["body: chunks."]).await.unwrap();
        let answer = ask(Protocol::H2, &gateway, &chunks).await;
        told(&answer, ["nil", "nil", "100-continue", "nil100-continue"]);
        let seen = upstream.requests();
        assert_eq!(seen[0].body, b"whole!");
        assert!(seen[1].field("expect").is_none() && seen[2].field("expect").is_none());
    });
}

/// Schemas, tools and libraries: `units.lua` has a test for each.
#[test]
fn modules_do_what_those_of_kong_do() {
    run(async {
        let mut setup = setup(HANDLER);
        setup.rest = setup.rest.replace("respond = { body = \"target\\n\" }", "");
        setup.rest = setup.rest.replace("[\"one\", \"two\"]", "[\"one\", \"units\"]");
        setup.rest.push_str(
            "[filters.units]\nopenresty = { content = \"units.lua\" }\nlimits = { cpu = \"5s\" }\n",
        );
        let units = std::fs::read(root().join("tests/kong/units.lua")).unwrap();
        let gateway = setup.file("units.lua", units).start().await;
        let answer = get(&gateway).await;
        answer.assert(200);
        let (count, failures) = answer
            .text()
            .split_once(" tests\n")
            .map(|(c, f)| (c.to_owned(), f.to_owned()))
            .unwrap();
        assert!(failures.is_empty() && count.parse::<u32>().unwrap() > 80, "{failures}");
    });
}

/// What `pilotlight check` says of a plugin.
fn check(handler: &str, schema: &str, config: &str) -> (i32, String) {
    let folder = Folder::new();
    folder.write("kong/plugins/mark/handler.lua", handler);
    folder.write("kong/plugins/mark/schema.lua", schema);
    let manifest = format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"
[[routes]]
filters = ["one"]
respond = {{ body = "x" }}
[filters.one]
kong = "mark"
config = {{ {config} }}
[lua]
path = ["?.lua"]
"#
    );
    folder.write("pilotlight.toml", manifest);
    let check = Command::new(binary()).arg("check").current_dir(folder.path()).output().unwrap();
    (check.status.code().unwrap(), String::from_utf8_lossy(&check.stderr).into_owned())
}

#[test]
fn a_bad_configuration_is_refused_by_path() {
    for (config, wanted) in [
        ("word = \"x\", count = 3", ""),
        ("word = 1", "config.word: expected a string"),
        ("word = \"\"", "config.word: length must be at least 1"),
        ("count = 10", "config.count: value should be between 1 and 9"),
        ("count = 1.5", "config.count: expected an integer"),
        ("wrod = \"x\"", "config.wrod: unknown field"),
        ("names = [\"ok\", \"not ok\"]", "config.names[2]: bad header name 'not ok'"),
        ("redis = { port = 99999 }", "config.redis.port: value should be between 0 and 65535"),
        ("redis = { host = \"a:1\", port = 1 }", "config.redis.host: must not have a port"),
        (
            "redis = { host = \"a\" }",
            "all or none of these fields must be set: 'config.redis.host', 'config.redis.port'",
        ),
    ] {
        let (code, said) = check(HANDLER, SCHEMA, config);
        let right = if wanted.is_empty() { code == 0 } else { code == 2 && said.contains(wanted) };
        assert!(right, "{config}: {code} {said}");
    }
}

#[test]
fn a_broken_plugin_is_refused() {
    let typed = "return { name = 'mark', fields = { { config = { type = 'record', fields = { { a = { typ = 'string' } } } } } } }";
    for (handler, schema, wanted) in [
        ("return { VERSION = '1.0.0' }", SCHEMA, "needs a number PRIORITY"),
        ("return { PRIORITY = 1 }", SCHEMA, "needs a VERSION"),
        ("return 1", SCHEMA, "handler.lua must return a table"),
        ("return {", SCHEMA, "mark/handler.lua:1:"),
        (
            "return { PRIORITY = 1, VERSION = '1.0.0', response = function() end, body_filter = function() end }",
            SCHEMA,
            "can't have response beside",
        ),
        (HANDLER, typed, "config.a: missing type declaration"),
        (HANDLER, "return require 'kong.none'", "module 'kong.none' not found"),
    ] {
        let (code, said) = check(handler, schema, "");
        assert!(code == 2 && said.contains(wanted), "{handler}: {code} {said}");
    }
    let (code, said) = check(HANDLER, "", "");
    assert!(code == 2, "{code} {said}");
}
