//! Answers that filters make as the client takes them.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::{
    Call, End, Exchange, Fault, FaultKind, Fields, Filter, Frame, Pull, Verdict,
};

use super::cast::role;
use super::rig::{Client, Cue, Part, give, play, tell, told, until_told};

pub(super) fn part(name: &str) -> Option<Part> {
    use Step::*;
    match name {
        "streams" => role(&[Phase::Request], |_| {
            Streamer::new(None, [Data("one"), Data("two"), Trailer("x-t", "1")])
        }),
        "head_first" => {
            role(&[Phase::Request], |_| Streamer::new(None, [Wait("body"), Data("late")]))
        }
        "sized" => role(&[Phase::Request], |_| Streamer::new(Some(6), [Data("one"), Data("two")])),
        "short" => role(&[Phase::Request], |_| Streamer::new(Some(6), [Data("one")])),
        "fails" => role(&[Phase::Request], |_| Streamer::new(None, [Data("one"), Fail])),
        "flushes" => role(&[Phase::Request], |_| {
            Streamer::new(None, [Data("one"), Flushed, Wait("more"), Data("two")])
        }),
        "ends_early" => role(&[Phase::Request, Phase::Log], |_| {
            let mut streamer = Streamer::new(None, [Data("one")]);
            streamer.rest = VecDeque::from([Wait("rest")]);
            streamer
        }),
        "goes_on" => role(&[Phase::Request, Phase::Log], |_| {
            Streamer::new(None, [Data("one"), Wait("never"), Data("two"), Wait("rest")])
        }),
        "sees_own" => role(&[Phase::Request, Phase::Response], |_| {
            let mut streamer = Streamer::new(None, [Data("one")]);
            streamer.sees_own = true;
            streamer
        }),
        "floods" => role(&[Phase::Request], |_| Box::new(Floods { left: FLOOD, made: 0 })),
        "collects" => role(&[Phase::Request, Phase::Response], |_| Box::new(Collects)),
        "holds" => role(&[Phase::ResponseBody], |_| Box::new(Holds { cue: None })),
        "waits" => role(&[Phase::Request], |_| Box::new(Waits { cue: None })),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Step {
    Data(&'static str),
    /// Until the cue is given.
    Wait(&'static str),
    /// Until all has left.
    Flushed,
    Trailer(&'static str, &'static str),
    Fail,
}

/// Answers 200, step by step.
struct Streamer {
    length: Option<u64>,
    steps: VecDeque<Step>,
    /// Behind the answer's end.
    rest: VecDeque<Step>,
    cue: Option<Cue>,
    sees_own: bool,
}

impl Streamer {
    fn new<const N: usize>(length: Option<u64>, steps: [Step; N]) -> Box<Streamer> {
        let (steps, rest) = (VecDeque::from(steps), VecDeque::new());
        Box::new(Streamer { length, steps, rest, cue: None, sees_own: false })
    }

    fn poll_cue(&mut self, cx: &mut Context<'_>, name: &'static str) -> Poll<()> {
        ready!(self.cue.get_or_insert_with(|| Cue::new(name)).poll(cx));
        self.cue = None;
        Poll::Ready(())
    }
}

impl Filter for Streamer {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(Ok(match call.phase {
            Phase::Request => {
                let head = call.exchange.reply(200, Bytes::new());
                head.fields.add(b"x-by", b"filter").unwrap();
                Verdict::Stream { length: self.length }
            }
            phase => {
                tell(phase.name());
                Verdict::Continue
            }
        }))
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        pull: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        assert!(pull.exchange.response.head.status == 200);
        while let Some(step) = self.steps.front().copied() {
            match step {
                Step::Wait(name) => ready!(self.poll_cue(cx, name)),
                Step::Flushed if !pull.flushed => return Poll::Pending,
                Step::Flushed => tell("flushed"),
                _ => {}
            }
            self.steps.pop_front();
            match step {
                Step::Data(text) => return Poll::Ready(Ok(Some(Frame::Data(text.into())))),
                Step::Trailer(name, value) => {
                    let mut fields = Fields::default();
                    fields.add(name.as_bytes(), value.as_bytes()).unwrap();
                    return Poll::Ready(Ok(Some(Frame::Trailers(fields))));
                }
                Step::Fail => return Poll::Ready(Err(Fault::new(FaultKind::Error, "on purpose"))),
                Step::Wait(_) | Step::Flushed => {}
            }
        }
        Poll::Ready(Ok(None))
    }

    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut Exchange,
        end: End,
    ) -> Poll<Result<(), Fault>> {
        if end == End::Gone && self.steps.len() > 1 {
            // What it waited for then does not matter any more.
            self.steps.retain(|step| matches!(step, Step::Wait("rest")));
            self.cue = None;
        }
        tell(format!("{end:?}"));
        self.steps.append(&mut self.rest);
        while let Some(step) = self.steps.front().copied() {
            if let Step::Wait(name) = step {
                ready!(self.poll_cue(cx, name));
            }
            self.steps.pop_front();
        }
        tell("rest");
        Poll::Ready(Ok(()))
    }

    fn sees_own(&self) -> bool {
        self.sees_own
    }
}

/// Chunks of an answer that is larger than what a connection takes unread.
const FLOOD: usize = 512;
const CHUNK: &[u8] = &[b'x'; 16 * 1024];

struct Floods {
    left: usize,
    made: usize,
}

impl Filter for Floods {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        call.exchange.reply(200, Bytes::new());
        Poll::Ready(Ok(Verdict::Stream { length: None }))
    }

    fn poll_body(
        &mut self,
        _: &mut Context<'_>,
        _: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        (self.left, self.made) = (self.left - 1, self.made + 1);
        tell(format!("made {}", self.made));
        Poll::Ready(Ok(Some(Frame::Data(Bytes::from_static(CHUNK)))))
    }
}

/// Wants the whole answer before it lets it pass.
struct Collects;

impl Filter for Collects {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        if call.phase == Phase::Response {
            let body = &mut call.exchange.response.body;
            match ready!(body.poll_collect(cx, 1000)) {
                Ok(whole) => {
                    let whole = whole.unwrap();
                    tell(format!("collected {}", String::from_utf8_lossy(&whole)));
                    body.set(Bytes::from(whole.to_ascii_uppercase()));
                }
                Err(error) => tell(error.to_string()),
            }
        }
        Poll::Ready(Ok(Verdict::Continue))
    }
}

/// Lets the end of a body wait.
struct Holds {
    cue: Option<Cue>,
}

impl Filter for Holds {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        if call.chunk.is_some_and(|chunk| chunk.last) {
            ready!(self.cue.get_or_insert_with(|| Cue::new("end")).poll(cx));
        }
        Poll::Ready(Ok(Verdict::Continue))
    }
}

/// Never lets a request pass.
struct Waits {
    cue: Option<Cue>,
}

impl Filter for Waits {
    fn poll(&mut self, cx: &mut Context<'_>, _: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        tell("waits");
        ready!(self.cue.get_or_insert_with(|| Cue::new("never")).poll(cx));
        Poll::Ready(Ok(Verdict::Continue))
    }

    fn poll_rest(
        &mut self,
        _: &mut Context<'_>,
        exchange: &mut Exchange,
        end: End,
    ) -> Poll<Result<(), Fault>> {
        tell(format!("{end:?} {}", exchange.response.head.status));
        Poll::Ready(Ok(()))
    }
}

/// A route whose chain these are.
fn chain(names: &str) -> String {
    format!("[[routes]]\nname = \"r\"\nfilters = [{names}]\nrespond = {{ status = 404 }}\n")
}

const CHUNKED: &str = "HTTP/1.1 200 OK\nx-by: filter\nTransfer-Encoding: chunked";

#[test]
fn an_answer_is_made_frame_by_frame() {
    play(&chain("\"streams\""), async |mut client: Client| {
        client.get("/").await;
        assert_eq!(client.head().await, CHUNKED);
        let body = client.until("\r\n\r\n").await;
        assert_eq!(body, "3\r\none\r\n3\r\ntwo\r\n0\r\nx-t: 1\r\n\r\n");
        // The connection is good for another.
        client.get("/").await;
        assert_eq!(client.head().await, CHUNKED);
    });
}

#[test]
fn a_head_leaves_before_the_body_is_there() {
    play(&chain("\"head_first\""), async |mut client: Client| {
        client.get("/").await;
        assert_eq!(client.head().await, CHUNKED);
        give("body");
        assert_eq!(client.until("0\r\n\r\n").await, "4\r\nlate\r\n0\r\n\r\n");
    });
}

#[test]
fn a_length_that_is_said_frames_the_answer() {
    play(&chain("\"sized\""), async |mut client: Client| {
        client.get("/").await;
        assert_eq!(client.head().await, "HTTP/1.1 200 OK\nx-by: filter\nContent-Length: 6");
        assert_eq!(client.until("two").await, "onetwo");
    });
}

#[test]
fn an_answer_shorter_than_it_says_is_broken_off() {
    play(&chain("\"short\""), async |mut client: Client| {
        client.get("/").await;
        client.head().await;
        assert_eq!(client.rest().await, "one");
    });
}

#[test]
fn a_fault_breaks_the_answer_off() {
    play(&chain("\"notes\", \"fails\""), async |mut client: Client| {
        client.get("/").await;
        client.head().await;
        assert_eq!(client.rest().await, "3\r\none\r\n");
        until_told("log r /").await;
    });
}

#[test]
fn filters_outside_see_a_streamed_answer_pass() {
    play(&chain("\"notes\", \"streams\""), async |mut client: Client| {
        client.get("/").await;
        client.until("x-t: 1\r\n\r\n").await;
    });
    let told = told();
    let response: Vec<&str> =
        told.iter().map(String::as_str).skip_while(|t| *t != "response 200").take(5).collect();
    assert_eq!(
        response,
        [
            "response 200",
            "response_body \"one\"",
            "response_body \"two\"",
            "response_body \"\" last",
            "response_trailers r /"
        ]
    );
}

#[test]
fn a_filter_outside_may_collect_a_streamed_answer() {
    play(&chain("\"collects\", \"flushes\""), async |mut client: Client| {
        client.get("/").await;
        // Who waits for what it gave to leave is not held up by who takes it all.
        until_told("flushed").await;
        give("more");
        assert_eq!(client.head().await, "HTTP/1.1 200 OK\nx-by: filter\nContent-Length: 6");
        assert_eq!(client.until("TWO").await, "ONETWO");
    });
    assert_eq!(told(), ["flushed", "collected onetwo", "Delivered", "rest"]);
}

#[test]
fn who_collects_an_answer_that_fails_is_told() {
    play(&chain("\"collects\", \"fails\""), async |mut client: Client| {
        client.get("/").await;
        client.head().await;
        client.rest().await;
    });
    assert_eq!(told(), ["a filter failed on the body"]);
}

#[test]
fn a_filter_sees_its_own_answer_where_it_wants_to() {
    play(&chain("\"sees_own\", \"notes\""), async |mut client: Client| {
        client.get("/").await;
        client.until("0\r\n\r\n").await;
    });
    // The filter behind it has not begun: it sees nothing, not even the end.
    assert_eq!(told(), ["response", "Delivered", "rest"]);
}

#[test]
fn a_filter_behind_an_answer_sees_it_where_it_sees_all() {
    play(&chain("\"streams\", \"sees_all\", \"notes\""), async |mut client: Client| {
        client.get("/").await;
        client.until("0\r\nx-t: 1\r\n\r\n").await;
    });
    let seen = told();
    assert_eq!(seen.first().map(String::as_str), Some("response 200"), "{seen:?}");
    assert_eq!(seen.last().map(String::as_str), Some("log r /"), "{seen:?}");
    assert!(seen.iter().any(|line| line.contains("\"two\"")), "{seen:?}");
    // Once: the third filter has not begun.
    assert_eq!(seen.iter().filter(|line| line.starts_with("log")).count(), 1, "{seen:?}");
    assert!(!seen.iter().any(|line| line.starts_with("request")), "{seen:?}");
}

#[test]
fn a_filter_may_wait_until_all_has_left() {
    play(&chain("\"flushes\""), async |mut client: Client| {
        client.get("/").await;
        client.until("one\r\n").await;
        until_told("flushed").await;
        give("more");
        client.until("two\r\n0\r\n\r\n").await;
    });
}

#[test]
fn what_has_passed_a_filter_leaves_while_it_waits() {
    play(&chain("\"holds\", \"streams\""), async |mut client: Client| {
        client.get("/").await;
        client.until("two\r\n").await;
        give("end");
        client.until("0\r\nx-t: 1\r\n\r\n").await;
    });
}

#[test]
fn a_client_that_does_not_read_holds_the_answer_up() {
    play(&chain("\"floods\""), async |mut client: Client| {
        client.get("/").await;
        client.head().await;
        let mut made = 0;
        // Until nothing moves.
        while told().len() != made {
            made = told().len();
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
        }
        assert!(made < FLOOD, "all of it was made for nobody");
        client.until("\r\n0\r\n\r\n").await;
        assert_eq!(told().len(), FLOOD);
    });
}

#[test]
fn a_filter_goes_on_when_its_answer_is_there() {
    play(&chain("\"ends_early\""), async |mut client: Client| {
        client.get("/").await;
        client.until("one\r\n0\r\n\r\n").await;
        until_told("Delivered").await;
        assert!(!told().contains(&"log".into()));
        give("rest");
        until_told("log").await;
    });
    assert_eq!(told().last().unwrap(), "log");
}

#[test]
fn a_filter_goes_on_when_its_client_has_left() {
    play(&chain("\"goes_on\""), async |mut client: Client| {
        client.get("/").await;
        client.until("one\r\n").await;
        drop(client);
        until_told("Gone").await;
        give("rest");
        until_told("log").await;
    });
    assert_eq!(told()[told().len() - 2..], ["rest", "log"]);
}

#[test]
fn a_filter_that_waits_hears_that_its_client_has_left() {
    play(&chain("\"waits\""), async |mut client: Client| {
        client.get("/").await;
        until_told("waits").await;
        drop(client);
        until_told("Gone 499").await;
    });
}

#[test]
fn an_answer_to_head_is_not_asked_for_its_body() {
    play(&chain("\"sized\""), async |mut client: Client| {
        client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 200 OK\nx-by: filter\ncontent-length: 6");
        until_told("rest").await;
    });
    assert_eq!(told(), ["Delivered", "rest"]);
}
