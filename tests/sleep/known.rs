//! What was found good before sleep is not tried again when it wakes; what changed meanwhile is.

use super::{asleep, plain, sleeper};
use crate::support::message::{ALL, ask};
use crate::support::{Gateway, Request, run};

const NGX: &str = "ngx.req.set_header('x-seen', ngx.var.uri)";

/// A gateway with a filter that requests use and others that none does.
async fn start() -> Gateway {
    let mut setup = sleeper("").file("n.lua", NGX).file("lua/part.lua", "return 'part'");
    for at in 0..4 {
        let script =
            format!("local p = require('part')\nreturn {{ log = function() end }} -- {at}");
        setup = setup.file(&format!("u{at}.lua"), script);
        setup.rest.push_str(&format!("[filters.u{at}]\nlua = \"u{at}.lua\"\n"));
    }
    setup.rest.push_str("[filters.n]\nopenresty = { access = \"n.lua\" }\n");
    setup
        .rest
        .push_str("[[routes]]\nmatch = { path = \"/others\" }\nrespond = { body = \"all\" }\n");
    setup.rest.push_str("filters = [\"u0\", \"u1\", \"u2\", \"u3\", \"n\"]\n");
    setup.rest.push_str("[lua]\npath = [\"lua/?.lua\"]\n");
    setup.start().await
}

/// Wakes it, and says how many programs it has tried.
async fn tried(gateway: &Gateway, path: &str) -> String {
    asleep(gateway).await;
    let lines = gateway.log().len();
    ask(ALL[0], gateway, &Request::get(path)).await.assert(200);
    let line = gateway.logged_after(lines, &["\"awake\""]).await.unwrap();
    let (_, rest) = line.split_once("\"tried\":\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

#[test]
fn only_what_changed_is_tried_again() {
    run(async {
        let gateway = start().await;
        assert_eq!(tried(&gateway, "/filtered").await, "0");
        gateway.folder.write("u3.lua", "return { log = function() end } -- another");
        assert_eq!(tried(&gateway, "/filtered").await, "1");
        // What was not used before is, now, and works.
        assert_eq!(tried(&gateway, "/others").await, "0");
        // A module that three of them require.
        gateway.folder.write("lua/part.lua", "return 'another'");
        assert_eq!(tried(&gateway, "/others").await, "3");
        // A reload is people's doing: there all is tried; and so it is known.
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"reloaded\""]).await.unwrap();
        assert_eq!(tried(&gateway, "/filtered").await, "0");
    });
}

#[test]
fn what_broke_is_found_though_nobody_uses_it() {
    run(async {
        let gateway = start().await;
        asleep(&gateway).await;
        let whole = std::fs::read_to_string(gateway.folder.path().join("u2.lua")).unwrap();
        gateway.folder.write("u2.lua", "local a = 1\nreturn {{");
        plain(gateway.clear, "/fixed").await.assert(503);
        gateway.logged(&["u2.lua:2"]).await.unwrap();
        gateway.folder.write("u2.lua", whole);
        let lines = gateway.log().len();
        gateway.signal(libc::SIGHUP);
        gateway.logged_after(lines, &["\"awake\"", "\"tried\":\"0\""]).await.unwrap();
    });
}
