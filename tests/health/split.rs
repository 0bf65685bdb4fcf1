//! Upstreams that lead to others.

use super::*;
use crate::support::message::ALL;
use crate::support::run;
use crate::tcp;

fn split(a: &Server, b: &Server, keys: &str) -> (SocketAddr, Setup) {
    let admin = free_address();
    let mut setup = Setup::new(format!(
        "[[routes]]\nupstream = \"shop\"\n[upstreams.shop]\n{keys}\n\
         [upstreams.v1]\nendpoints = [\"http://{}\"]\n\
         [upstreams.v2]\nendpoints = [\"http://{}\"]\n\
         health = {{ path = \"/healthz\", interval = \"40ms\", unhealthy = 1, healthy = 1 }}\n",
        a.address, b.address
    ));
    setup.gateway = format!("admin = \"{admin}\"");
    (admin, setup)
}

#[test]
fn requests_are_shared_by_weight_and_named_after_where_they_went() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let keys = "split = [{ upstream = \"v1\", weight = 3 }, { upstream = \"v2\" }]";
        let (at, setup) = split(&a, &b, keys);
        let gateway = setup.start().await;
        let mut of_a = 0;
        for _ in 0..100 {
            let answer = get(&gateway).await;
            assert!(answer.field("set-cookie").is_none());
            of_a += u32::from(answer.text() == "a");
        }
        // Seventy-five, by chance.
        assert!((50..95).contains(&of_a), "{of_a}");
        gateway.logged(&["\"upstream\":\"v1\"", "\"route\""]).await.unwrap();
        gateway.logged(&["\"upstream\":\"v2\"", "\"route\""]).await.unwrap();
        assert!(!gateway.log().iter().any(|line| line.contains("\"upstream\":\"shop\"")));
        let page = admin(at, "/metrics").await;
        let counted = |name: &str| {
            let line =
                format!("pilotlight_upstream_duration_seconds_count{{upstream=\"{name}\"}} ");
            let found = page.lines().find_map(|l| l.strip_prefix(&line)?.parse::<u32>().ok());
            found.unwrap_or(0)
        };
        assert_eq!((counted("shop"), counted("v1")), (0, of_a), "{page}");
    });
}

#[test]
fn a_client_stays_where_its_cookie_says() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let keys = "split = [{ upstream = \"v1\" }, { upstream = \"v2\", weight = 0 }]\nsticky = \"cookie:variant\"";
        let (_, setup) = split(&a, &b, keys);
        let gateway = setup.start().await;
        for protocol in ALL {
            let answer = ask(protocol, &gateway, &Request::get("/")).await;
            let secure = if protocol == Protocol::H1 { "" } else { "; Secure" };
            let cookie = format!("variant=v1; Path=/; HttpOnly; SameSite=Lax{secure}");
            assert_eq!(answer.assert(200).field("set-cookie"), Some(&*cookie));
            assert_eq!(answer.text(), "a");
            let request = Request::get("/").field("cookie", "a=b; variant=v2");
            for _ in 0..5 {
                let answer = ask(protocol, &gateway, &request).await;
                assert_eq!((answer.text().as_str(), answer.field("set-cookie")), ("b", None));
            }
        }
        // While there is none it is elsewhere, and comes back.
        b.health(500);
        gateway.logged(&["\"endpoint down\""]).await.unwrap();
        let request = Request::get("/").field("cookie", "variant=v2");
        let answer = ask(Protocol::H1, &gateway, &request).await;
        assert_eq!((answer.text().as_str(), answer.field("set-cookie")), ("a", None));
        b.health(200);
        gateway.logged(&["\"endpoint up\""]).await.unwrap();
        assert_eq!(ask(Protocol::H1, &gateway, &request).await.text(), "b");
    });
}

#[test]
fn filters_see_the_choice_and_scripts_and_tcp_make_one() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let keys = "split = [{ upstream = \"v1\", weight = 0 }, { upstream = \"v2\" }]";
        let (_, mut setup) = split(&a, &b, keys);
        let (at, echo) = (free_address(), tcp::echo().await);
        setup.rest =
            setup.rest.replace("upstream = \"shop\"\n", "upstream = \"shop\"\nfilters = [\"f\"]\n");
        setup.rest += &format!(
            "[[routes]]\nmatch = {{ path = \"/chosen\" }}\nfilters = [\"g\"]\nupstream = \"v1\"\n\
             [filters.f]\nlua = \"f.lua\"\n[filters.g]\nlua = \"g.lua\"\n\
             [[listeners]]\nname = \"raw\"\naddress = \"{at}\"\nprotocols = [\"tcp\"]\nupstream = \"any\"\n\
             [upstreams.any]\nsplit = [{{ upstream = \"echo\" }}]\n\
             [upstreams.echo]\nendpoints = [\"tcp://{echo}\"]\n"
        );
        let setup = setup
            .file(
                "f.lua",
                "return { request = function(req, ctx)\n  ctx.before = req.upstream\n  ctx.fetched = gateway.fetch{ url = '/', upstream = 'shop' }.body\nend,\n\
                 response = function(res, ctx) res.headers['x-seen'] = ctx.before .. ' ' .. ctx.fetched end }",
            )
            .file("g.lua", "return { request = function(req) req.upstream = 'shop' end }");
        let gateway = setup.start().await;
        let answer = get(&gateway).await;
        assert_eq!((answer.text().as_str(), answer.field("x-seen")), ("b", Some("shop b")));
        let answer = ask(Protocol::H1, &gateway, &Request::get("/chosen")).await;
        assert_eq!(answer.text(), "b");
        gateway.logged(&["/chosen", "\"upstream\":\"v2\""]).await.unwrap();
        let mut stream = tcp::connect(at).await;
        tcp::say(&mut stream, "hello").await;
        tcp::hear(&mut stream, "hello").await;
        drop(stream);
        gateway.logged(&["\"listener\":\"raw\"", "\"upstream\":\"echo\""]).await.unwrap();
    });
}
