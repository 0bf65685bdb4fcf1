//! Kong's plugins in handshakes.

use super::upstreams::to_itself;
use super::*;

/// `kong.service.set_tls_*` count for the exchange that says it, and for no other.
#[test]
fn kong_says_how_tls_with_the_service_is_done() {
    let handler = format!(
        r#"
local handler = {{ PRIORITY = 10, VERSION = "1.0.0" }}
{CHOOSE}
function handler:access(conf)
  if kong.request.get_query_arg "who" == "nobody" then return end
  assert(kong.service.set_tls_cert_key(ssl.parse_pem_cert(pems.device),
    ssl.parse_pem_priv_key(pems.device_key)))
  local store = require("resty.openssl.x509.store").new()
  local x509 = require "resty.openssl.x509"
  local which = kong.request.get_query_arg "trust" == "another" and "chosen" or "authority"
  assert(store:add(assert(x509.new(pems[which]))))
  assert(kong.service.set_tls_verify_store(store))
  assert(kong.service.set_tls_verify_depth(3))
  assert(kong.service.set_tls_verify(kong.request.get_query_arg "verify" ~= "no"))
end
return handler
"#
    );
    let schema = r#"
return { name = "secure", fields = { { config = { type = "record", fields = {} } } } }
"#;
    let files = [
        ("kong/plugins/secure/handler.lua", &*handler),
        ("kong/plugins/secure/schema.lua", schema),
    ];
    let (_door, setup) = to_itself("[filters.out]\nkong = \"secure\"", &files);
    run(async {
        use crate::support::Request;
        use crate::support::message::{Protocol, ask};
        let gateway = setup.start().await;
        for (query, status) in [
            ("", 200),
            ("?who=nobody", 502),
            ("?trust=another", 502),
            ("?trust=another&verify=no", 200),
            ("", 200),
        ] {
            let request = Request::get(&format!("/{query}")).host("a.test");
            let answer = ask(Protocol::H1, &gateway, &request).await;
            assert_eq!(answer.status, status, "{query}: {}", answer.text());
        }
    });
}

/// The `certificate` step of a plugin.
#[test]
fn kong_takes_part_in_handshakes() {
    let handler = format!(
        r#"
local handler = {{ PRIORITY = 10, VERSION = "1.0.0" }}
{CHOOSE}
function handler:certificate(conf)
  assert(ngx.get_phase() == "ssl_cert")
  assert(kong.client.tls.request_client_certificate(ssl.parse_pem_cert(pems.authority)))
  assert(kong.client.tls.disable_session_reuse())
  kong.ctx.shared.greeting = conf.greeting
end
function handler:access(conf)
  local chain = kong.client.tls.get_full_client_certificate_chain()
  return kong.response.exit(200, conf.greeting .. " " .. (chain and #chain > 100 and "chain" or "none"))
end
return handler
"#
    );
    let schema = r#"
return { name = "greet", fields = { { config = { type = "record",
  fields = { { greeting = { type = "string", required = true } } } } } } }
"#;
    let address = free_address();
    let setup = Setup::new(format!(
        r#"
[[listeners]]
name = "door"
address = "{address}"
protocols = ["http1"]
tls = {{ certificate = "edge.pem", key = "edge.key" }}
filters = ["greet"]
[[routes]]
name = "greet"
match = {{ listeners = ["door"] }}
filters = ["greet"]
respond = {{}}
[filters.greet]
kong = "greet"
config = {{ greeting = "welcome" }}
[lua]
path = ["?.lua"]
"#
    ))
    .file("kong/plugins/greet/handler.lua", handler)
    .file("kong/plugins/greet/schema.lua", schema)
    .file("pems.lua", pems(&[("authority", &authority_pem())]));
    let known = Certificate::new(&["device.test"]);
    run(async {
        let _gateway = setup.start().await;
        for (config, said) in [
            (identified(&known), "welcome chain"),
            (resuming(&[&rustls::version::TLS13]), "welcome none"),
        ] {
            for _ in 0..2 {
                let mut stream = connect(address, "a.test", config.clone()).await.unwrap();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
                    .await
                    .unwrap();
                let mut all = Vec::new();
                let _ = soon("an answer", stream.read_to_end(&mut all)).await;
                let text = String::from_utf8_lossy(&all).into_owned();
                assert!(text.contains(said), "{text}");
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            }
        }
    });
}
