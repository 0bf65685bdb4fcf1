//! Requests that filters send on to another route.

use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Fault, Filter, Verdict};

use super::cast::role;
use super::rig::{Client, Part, play, told};

pub(super) fn part(name: &str) -> Option<Part> {
    match name {
        "to_path" => role(&[Phase::Request, Phase::Log], |_| Box::new(Sends { name: None })),
        "to_name" => role(&[Phase::Request], |_| Box::new(Sends { name: Some("@inner") })),
        "to_nowhere" => role(&[Phase::Request], |_| Box::new(Sends { name: Some("@none") })),
        "reads" => role(&[Phase::Request], |_| Box::new(Reads)),
        _ => None,
    }
}

/// Sends the request to `/inner?from=` and its path, or to a route.
struct Sends {
    name: Option<&'static str>,
}

impl Filter for Sends {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let head = &mut call.exchange.request.head;
        call.exchange.reroute = self.name.map(Into::into);
        if self.name.is_none() {
            let query = [b"from=", head.path()].concat();
            head.set_query(Some(&query)).unwrap();
            head.set_path(b"/a/../inner").unwrap();
        }
        Poll::Ready(Ok(Verdict::Reroute))
    }
}

/// Reads the whole body.
struct Reads;

impl Filter for Reads {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let body = ready!(call.exchange.request.body.poll_collect(cx, 1000)).unwrap().unwrap();
        let query = String::from_utf8_lossy(call.exchange.request.head.query().unwrap_or_default());
        let text = format!("{query} {} {}", body.len(), call.exchange.reroutes);
        call.exchange.reply(200, text.into());
        Poll::Ready(Ok(match &*call.exchange.route {
            "inner" | "@inner" => Verdict::Reply,
            _ => Verdict::Continue,
        }))
    }
}

const BY_PATH: &str = r#"
[[routes]]
name = "outer"
match = { path = "/outer" }
filters = ["reads", "to_path"]
respond = { status = 404 }
[[routes]]
name = "inner"
match = { path = "/inner" }
filters = ["notes", "reads"]
respond = { status = 404 }
"#;

#[test]
fn a_path_leads_to_another_route() {
    play(BY_PATH, async |mut client: Client| {
        client.send("POST /outer HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
        let body = client.until(" 1").await;
        assert!(body.ends_with("from=/outer 4 1"), "{body}");
    });
    // The chain that was left sees no answer and no end.
    let told = told();
    let told = told.iter().filter(|told| !told.starts_with("response_body"));
    let heads = ["request inner /inner", "response 200", "log inner /inner"];
    assert_eq!(told.collect::<Vec<_>>(), heads);
}

const BY_NAME: &str = r#"
[[routes]]
name = "outer"
filters = ["to_name"]
respond = { status = 404 }
[[routes]]
name = "@inner"
internal = true
filters = ["reads"]
respond = { status = 404 }
"#;

#[test]
fn a_name_leads_to_an_internal_route() {
    play(BY_NAME, async |mut client: Client| {
        client.get("/x?q").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(client.until(" 1").await, "q 0 1");
    });
}

#[test]
fn a_name_that_no_route_has_is_the_gateways_fault() {
    let routes = "[[routes]]\nfilters = [\"to_nowhere\"]\nrespond = { status = 404 }\n";
    play(routes, async |mut client: Client| {
        client.get("/").await;
        assert!(client.head().await.starts_with("HTTP/1.1 500"));
    });
}

#[test]
fn a_circle_ends() {
    let routes = "[[routes]]\nfilters = [\"notes\", \"to_path\"]\nrespond = { status = 404 }\n";
    play(routes, async |mut client: Client| {
        client.get("/").await;
        assert!(client.head().await.contains("proxy_loop_detected"));
    });
    // Ten times anew.
    assert_eq!(told().iter().filter(|told| told.starts_with("request")).count(), 11);
}
