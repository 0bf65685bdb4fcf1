//! What a route's `errors` put in the place of an answer.

use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Fault, FaultKind, Filter, Verdict};

use super::cast::role;
use super::rig::{Client, Part, play, told};

pub(super) fn part(name: &str) -> Option<Part> {
    match name {
        "refuses" => role(&[Phase::Request, Phase::Log], |_| Box::new(Refuses { body: "" })),
        "explains" => role(&[Phase::Request], |_| Box::new(Refuses { body: "own page" })),
        "breaks" => role(&[Phase::Request], |_| Box::new(Breaks)),
        _ => None,
    }
}

/// Answers 403.
struct Refuses {
    body: &'static str,
}

impl Filter for Refuses {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let body = Bytes::from_static(self.body.as_bytes());
        call.exchange.reply(403, body).fields.add(b"x-why", b"because").unwrap();
        Poll::Ready(Ok(Verdict::Reply))
    }
}

struct Breaks;

impl Filter for Breaks {
    fn poll(&mut self, _: &mut Context<'_>, _: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(Err(Fault::new(FaultKind::Error, "on purpose")))
    }
}

/// The route `/` with these keys, and pages.
fn routes(keys: &str) -> String {
    format!(
        r#"
[[routes]]
match = {{ path = "/" }}
{keys}
[[routes]]
match = {{ path = "/page" }}
internal = true
filters = ["notes"]
respond = {{ status = 200, headers = {{ x-page = "yes" }}, body = "page" }}
[[routes]]
name = "@page"
internal = true
respond = {{ status = 410, body = "gone" }}
[[routes]]
match = {{ path = "/circle" }}
internal = true
respond = {{ status = 404, body = "again" }}
errors = [{{ on = [404], to = "/circle" }}]
"#
    )
}

/// Head and body of an answer to `GET /`.
fn answer(keys: &str, body: &str) -> String {
    play(&routes(keys), async |mut client: Client| {
        client.get("/").await;
        let head = client.head().await;
        client.until(body).await;
        head
    })
}

#[test]
fn another_route_answers_with_the_errors_status() {
    let keys = "respond = { status = 404, body = \"old\" }\nerrors = [{ on = [404, 502], to = \"/page?x=1\" }]\n";
    let head = answer(keys, "page");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(head.contains("x-page: yes"), "{head}");
    // Its filters see what the client is going to see.
    assert!(told().contains(&"response 404".to_owned()), "{:?}", told());
}

#[test]
fn other_statuses_stay_as_they_are() {
    let keys =
        "respond = { status = 403, body = \"old\" }\nerrors = [{ on = [404], to = \"/page\" }]\n";
    assert!(answer(keys, "old").starts_with("HTTP/1.1 403 "));
}

#[test]
fn the_status_is_another_or_the_pages_own() {
    let keys =
        "respond = { status = 404 }\nerrors = [{ on = [404], to = \"@page\", status = 200 }]\n";
    assert!(answer(keys, "gone").starts_with("HTTP/1.1 200 "));
    let keys =
        "respond = { status = 404 }\nerrors = [{ on = [404], to = \"@page\", status = \"own\" }]\n";
    assert!(answer(keys, "gone").starts_with("HTTP/1.1 410 "));
}

#[test]
fn a_url_is_where_the_client_is_sent() {
    let keys = "respond = { status = 404 }\nerrors = [{ on = [404], to = \"https://b.test/\" }]\n";
    let head = answer(keys, "");
    assert!(
        head.starts_with("HTTP/1.1 302 ") && head.contains("location: https://b.test/"),
        "{head}"
    );
}

#[test]
fn answers_of_filters_are_replaced_unless_they_have_a_body() {
    let errors = "respond = { status = 200 }\nerrors = [{ on = [403, 500], to = \"/page\" }]\n";
    let head = answer(&format!("filters = [\"refuses\"]\n{errors}"), "page");
    assert!(head.starts_with("HTTP/1.1 403 ") && head.contains("x-why: because"), "{head}");
    let head = answer(&format!("filters = [\"explains\"]\n{errors}"), "own page");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let head = answer(&format!("filters = [\"breaks\"]\n{errors}"), "page");
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
}

#[test]
fn an_upstream_that_is_not_there() {
    let keys = "upstream = \"app\"\nerrors = [{ on = [502, 503], to = \"/page\", status = 200 }]\n\
                [upstreams.app]\nendpoints = [\"http://127.0.0.1:1\"]\n";
    assert!(answer(keys, "page").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_page_that_fails_is_not_replaced_again() {
    let keys = "respond = { status = 404 }\nerrors = [{ on = [404], to = \"/circle\" }]\n";
    assert!(answer(keys, "again").starts_with("HTTP/1.1 404 "));
}
