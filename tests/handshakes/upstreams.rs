//! Handshakes with upstreams.

use super::*;

/// A gateway whose route goes to its own listener `door`, which wants certificates of the authority's.
pub(super) fn to_itself(filter: &str, files: &[(&str, &str)]) -> (Door, Setup) {
    let mut door = Door::new(&[("ssl_certificate", "")]);
    door.listener = "client_ca = \"authority.pem\"".into();
    let address = door.address;
    door.rest = format!(
        r#"
[[routes]]
name = "out"
match = {{ listeners = ["clear"] }}
filters = ["out"]
upstream = "inner"
[upstreams.inner]
endpoints = ["https://{address}"]
tls = {{ ca = "authority.pem", server_name = "a.test" }}
timeouts = {{ connect = "2s" }}
{filter}
[[routes]]
name = "tell"
match = {{ listeners = ["door"] }}
filters = ["tell"]
[filters.tell]
openresty = {{ content = "subject.lua" }}
"#
    );
    let mut setup = door.setup();
    setup = setup
        .file("authority.pem", authority_pem())
        .file("subject.lua", "ngx.say(ngx.var.ssl_client_verify, ' ', ngx.var.connection)");
    for (name, text) in files {
        setup = setup.file(name, text);
    }
    (door, setup)
}

async fn out(gateway: &Gateway) -> (u16, String) {
    use crate::support::Request;
    use crate::support::message::{Protocol, ask};
    let answer = ask(Protocol::H1, gateway, &Request::get("/").host("a.test")).await;
    (answer.status, answer.text().trim().to_owned())
}

const OUT: &str = r#"
[filters.out.openresty]
proxy_ssl_certificate = "identify.lua"
proxy_ssl_verify = "verify.lua"
access = "access.lua"
"#;

#[test]
fn scripts_take_part_in_handshakes_with_upstreams() {
    let identify = format!(
        r#"{CHOOSE}
        assert(ngx.get_phase() == "proxy_ssl_cert")
        ngx.sleep(0.01)
        local mine = require "ngx.ssl.proxysslcert"
        assert(mine.clear_certs())
        assert(mine.set_cert(assert(ssl.parse_pem_cert(pems.device))))
        assert(mine.set_priv_key(assert(ssl.parse_pem_priv_key(pems.device_key))))
        ngx.ctx.identified = true
        "#
    );
    let verify = r#"
        assert(ngx.get_phase() == "proxy_ssl_verify")
        ngx.sleep(0.01)
        assert(ngx.ctx.identified)
        local verify = require "ngx.ssl.proxysslverify"
        assert(verify.get_verify_result() == 0, verify.get_verify_result())
        assert(verify.get_verify_cert())
        local asked = ngx.ctx.asked
        if asked == "refuse" then ngx.exit(ngx.ERROR) end
        if asked == "flaw" then verify.set_verify_result(23) end
        if asked == "fail" then error "not this one" end
        if asked == "slow" then ngx.sleep(30) end
    "#;
    let access = "ngx.ctx.asked = ngx.shared.notes:get 'asked'\n\
                  local c = require('ngx.ssl.proxysslcert') assert(not pcall(c.clear_certs))";
    let files = [("identify.lua", &*identify), ("verify.lua", verify), ("access.lua", access)];
    let (_door, setup) = to_itself(
        &format!(
            "{OUT}\n[[routes]]\nname = \"ask\"\nmatch = {{ path = \"/ask/*\", listeners = [\"clear\"] }}\nlua = \"ask.lua\""
        ),
        &files,
    );
    let setup = setup.file(
        "ask.lua",
        "return function(req) gateway.shared('notes'):set('asked', req.query) return { status = 204 } end",
    );
    run(async {
        use crate::support::Request;
        use crate::support::message::{Protocol, ask};
        let gateway = setup.start().await;
        let (status, first) = out(&gateway).await;
        assert_eq!((status, first.split(' ').next()), (200, Some("SUCCESS")));
        // No other exchange uses a connection that a script has opened for one.
        assert_ne!(out(&gateway).await.1, first);
        for (asked, status) in [("refuse", 502), ("flaw", 502), ("fail", 502), ("slow", 504)] {
            ask(Protocol::H1, &gateway, &Request::get(&format!("/ask/?{asked}"))).await;
            assert_eq!(out(&gateway).await.0, status, "{asked}");
        }
    });
}
