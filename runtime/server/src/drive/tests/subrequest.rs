//! Requests of filters to the gateway's own routes.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_abi::{Phase, limit};
use pilotlight_filter::host::{FetchError, Services, Subanswer, Subrequest, Wait};
use pilotlight_filter::{Body, Call, Exchange, Fault, Filter, Verdict};

use super::cast::role;
use super::rig::{Client, Part, give, play, tell, told, until_told};

pub(super) fn part(name: &str) -> Option<Part> {
    match name {
        "asks" => role(&[Phase::Request], |services| Asks::new(services, &["/inner"])),
        "asks_itself" => role(&[Phase::Request], |services| Asks::new(services, &["/"])),
        "asks_two" => role(&[Phase::Request], |services| Asks::new(services, &["/inner", "/big"])),
        "echoes" => role(&[Phase::Request], |_| Box::new(Echoes)),
        "big" => role(&[Phase::Request], |_| Box::new(Big)),
        _ => None,
    }
}

/// Asks each path, and answers with what it was told.
struct Asks {
    services: Rc<dyn Services>,
    paths: &'static [&'static str],
    waits: Vec<Wait<Result<Subanswer, FetchError>>>,
    told: Vec<String>,
}

impl Asks {
    fn new(services: Rc<dyn Services>, paths: &'static [&'static str]) -> Box<Asks> {
        Box::new(Asks { services, paths, waits: Vec::new(), told: Vec::new() })
    }

    fn ask(&self, exchange: &mut Exchange, path: &str) -> Wait<Result<Subanswer, FetchError>> {
        let mut asked = Subrequest::of(exchange);
        asked.request.head.set_method(b"POST").unwrap();
        asked.request.head.set_path(path.as_bytes()).unwrap();
        asked.request.head.set_query(None).unwrap();
        asked.request.body = Body::full(Bytes::from_static(b"body"));
        self.services.subrequest(asked)
    }
}

impl Filter for Asks {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        if self.waits.is_empty() && self.told.is_empty() {
            let asked = self.paths.iter().map(|path| self.ask(call.exchange, path));
            self.waits = asked.collect();
        }
        while let Some(wait) = self.waits.first_mut() {
            self.told.push(match ready!(wait.as_mut().poll(cx)) {
                Ok(Subanswer { head, body, truncated }) => {
                    let by = head.fields.get(b"x-by").unwrap_or_default();
                    let by = String::from_utf8_lossy(by);
                    let shown = String::from_utf8_lossy(&body[..body.len().min(2000)]);
                    format!("{} {by} {} {truncated} {shown}", head.status, body.len())
                }
                Err(error) => error.to_string(),
            });
            drop(self.waits.remove(0));
        }
        call.exchange.reply(200, self.told.join("; ").into());
        Poll::Ready(Ok(Verdict::Reply))
    }
}

/// Answers with what it was asked.
struct Echoes;

impl Filter for Echoes {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let exchange = call.exchange;
        let body = ready!(exchange.request.body.poll_collect(cx, 1000)).unwrap().unwrap();
        let parent = exchange.parent.unwrap();
        let head = &exchange.request.head;
        let text = format!(
            "{} {} {} depth {}",
            String::from_utf8_lossy(head.method_text()),
            String::from_utf8_lossy(head.fields.get(b"x-a").unwrap_or_default()),
            String::from_utf8_lossy(&body),
            parent.depth
        );
        exchange.reply(201, text.into()).fields.add(b"x-by", b"inner").unwrap();
        Poll::Ready(Ok(Verdict::Reply))
    }
}

/// Answers with more than anyone collects.
struct Big;

impl Filter for Big {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        call.exchange.reply(200, vec![b'x'; limit::BODY_COLLECT as usize + 1].into());
        Poll::Ready(Ok(Verdict::Reply))
    }
}

fn routes(outer: &str, inner: &str) -> String {
    format!(
        r#"
[[routes]]
name = "outer"
match = {{ path = "/" }}
filters = [{outer}]
respond = {{ status = 404 }}
[[routes]]
name = "inner"
match = {{ path = "/inner" }}
filters = [{inner}]
respond = {{ status = 404 }}
[[routes]]
name = "big"
match = {{ path = "/big" }}
filters = ["big"]
respond = {{ status = 404 }}
"#
    )
}

#[test]
fn a_filter_asks_the_gateways_own_routes() {
    play(&routes("\"asks\"", "\"notes\", \"echoes\""), async |mut client: Client| {
        client.send("GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\n\r\n").await;
        client.head().await;
        assert_eq!(client.until("depth 1").await, "201 inner 19 false POST 1 body depth 1");
        until_told("log inner /inner").await;
    });
}

#[test]
fn answers_are_collected_up_to_a_limit() {
    play(&routes("\"asks_two\"", "\"echoes\""), async |mut client: Client| {
        client.get("/").await;
        client.head().await;
        let answers = client.until("true").await;
        assert!(answers.contains("; 200  8388608 true"), "{answers}");
    });
}

#[test]
fn subrequests_that_ask_themselves_end() {
    play(&routes("\"notes\", \"asks_itself\"", "\"echoes\""), async |mut client: Client| {
        client.get("/").await;
        client.head().await;
        client.until("subrequests cycle").await;
    });
    let begun = told().iter().filter(|told| *told == "request outer /").count();
    assert_eq!(begun as u64, 1 + limit::SUBREQUEST_DEPTH);
}

#[test]
fn a_client_that_leaves_takes_its_subrequests_along() {
    play(&routes("\"asks\"", "\"waits\""), async |mut client: Client| {
        client.get("/").await;
        until_told("waits").await;
        drop(client);
        until_told("Gone 499").await;
    });
}

#[test]
fn a_subrequests_answer_may_be_streamed() {
    play(&routes("\"asks\"", "\"flushes\""), async |mut client: Client| {
        client.get("/").await;
        until_told("flushed").await;
        give("more");
        client.head().await;
        assert_eq!(client.until("onetwo").await, "200 filter 6 false onetwo");
        tell("over");
    });
}
