//! One probe of an endpoint: over a connection of its own, as the upstream's TLS and protocol have it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use pilotlight_config::manifest::{Endpoint, Health};
use pilotlight_filter::{RequestHead, ResponseHead};

use crate::apps::probe;
use crate::codec::Length;
use crate::upstream::connect::{self, Connected};
use crate::upstream::{Incoming, Member, Roster, Shared, UpstreamError, h2};
use crate::worker::Worker;

/// The member's number, and whether it is well, or why not.
pub(super) async fn ask(
    worker: Rc<Worker>,
    shared: Arc<Shared>,
    roster: Arc<Roster>,
    member: Arc<Member>,
) -> (usize, Result<(), String>) {
    let Some(rules) = &roster.health else { return (member.number, Ok(())) };
    let asked =
        tokio::time::timeout(rules.timeout, look(&worker, &shared, &member.endpoint, rules));
    let outcome = match asked.await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {:?}", rules.timeout)),
    };
    (member.number, outcome)
}

async fn look(
    worker: &Rc<Worker>,
    shared: &Shared,
    endpoint: &Endpoint,
    rules: &Health,
) -> Result<(), String> {
    let said = |error: UpstreamError| error.to_string();
    let Some(path) = &rules.path else {
        return connect::bare(shared, endpoint).await.map(drop).map_err(said);
    };
    let host = rules.host.clone().unwrap_or_else(|| host(endpoint));
    let status = match connect::connect(worker, shared, endpoint).await.map_err(said)? {
        Connected::H1(mut stream) => probe::ask(&mut stream, path, &host).await,
        Connected::H2(connection) => second(&connection, path, &host).await,
    };
    match status {
        Some(status) if rules.is_well(status) => Ok(()),
        Some(status) => Err(format!("status {status}")),
        None => Err("no answer".into()),
    }
}

/// As clients say it that connect there.
fn host(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, tls, unix, .. } = endpoint;
    match (port, tls) {
        _ if unix.is_some() => "localhost".into(),
        (80, false) | (443, true) => host.clone(),
        _ if host.contains(':') => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// The status of an answer, in HTTP/2.
async fn second(connection: &h2::Connection, path: &str, host: &str) -> Option<u16> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (path, None),
    };
    let mut head = RequestHead::default();
    head.set_method(b"GET").ok()?;
    head.set_authority(host.as_bytes()).ok()?;
    head.set_path(path.as_bytes()).ok()?;
    head.set_query(query).ok()?;
    head.fields.add(b"user-agent", b"pilotlight-probe").ok()?;
    let mut out = connection.open();
    out.head(&head, Length::None, None).ok()?;
    out.finish(None);
    let mut response = ResponseHead::default();
    let answered = poll_fn(|cx| {
        ready!(out.poll_flush(cx))?;
        while let Incoming::Interim = ready!(out.poll_response(cx, &mut response))? {}
        Poll::Ready(Ok::<_, UpstreamError>(()))
    });
    answered.await.ok()?;
    Some(response.status)
}
