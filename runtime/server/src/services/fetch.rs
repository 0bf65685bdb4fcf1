//! `gateway.fetch`: a request of a program's own, through an upstream of the manifest or to a URL.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use pilotlight_abi::limit::BODY_COLLECT;
use pilotlight_filter::head::split_port;
use pilotlight_filter::host::{Fetch, FetchError, Fetched};
use pilotlight_filter::{Fields, RequestHead, ResponseHead};

use crate::codec::Length;
use crate::generation::Local;
use crate::upstream::{Incoming, Outbound, Upstream, UpstreamError};
use crate::worker::Worker;

/// Without a timeout of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn fetch(
    worker: Rc<Worker>,
    local: Rc<Local>,
    request: Fetch,
) -> Result<Fetched, FetchError> {
    let limit = request.timeout.unwrap_or(TIMEOUT);
    let work = exchange(&worker, &local, request);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(error("timeout")))
}

pub(super) fn error(text: impl Into<String>) -> FetchError {
    FetchError(text.into())
}

/// Where a request goes, and its head.
pub(super) fn prepare(
    worker: &Worker,
    local: &Local,
    request: &Fetch,
) -> Result<(Rc<Upstream>, RequestHead), FetchError> {
    let url = Url::parse(&request.url)?;
    let upstream = match (&request.upstream, url.authority) {
        (Some(name), _) => {
            let mut all = local.upstreams.iter();
            let found = all.find(|u| *u.shared.meant.name == **name).cloned();
            found.ok_or_else(|| error(format!("unknown upstream \"{name}\"")))?
        }
        (None, "") => return Err(error("the url must be absolute, or name an upstream")),
        (None, authority) => by_url(worker, local, url.tls, authority)?,
    };
    let head = head(request, &url, &upstream)?;
    Ok((upstream, head))
}

async fn exchange(
    worker: &Rc<Worker>,
    local: &Local,
    request: Fetch,
) -> Result<Fetched, FetchError> {
    let (upstream, mut head) = prepare(worker, local, &request)?;
    let mut response = ResponseHead::default();
    let mut stale = false;
    loop {
        let mut lease = upstream.lease(worker, &[]).map_err(|e| error(e.to_string()))?;
        let reused = if stale { None } else { lease.reuse() };
        let out = match reused {
            Some(out) => out,
            None => lease.connect(stale).await.map_err(|e| error(e.to_string()))?,
        };
        match send(out, &mut head, &request, &mut response).await {
            Ok(fetched) => return Ok(fetched),
            Err(Sent::Upstream(
                UpstreamError::Closed { fresh: false } | UpstreamError::NotTaken,
            )) if !stale => {
                stale = true;
            }
            Err(Sent::Upstream(failed)) => return Err(error(failed.to_string())),
            Err(Sent::Body(text)) => return Err(error(text)),
        }
    }
}

enum Sent {
    Upstream(UpstreamError),
    Body(String),
}

async fn send(
    mut out: Outbound,
    head: &mut RequestHead,
    request: &Fetch,
    response: &mut ResponseHead,
) -> Result<Fetched, Sent> {
    let mut trailers = Fields::default();
    put(&mut trailers, &request.trailers).map_err(|FetchError(text)| Sent::Body(text))?;
    let length = match request.body.len() {
        _ if !request.trailers.is_empty() => Length::Unknown,
        0 if head.method().is_safe() => Length::None,
        length => Length::Exact(length as u64),
    };
    out.head(head, length, None).map_err(Sent::Upstream)?;
    out.data(request.body.clone());
    out.finish((!request.trailers.is_empty()).then_some(&trailers));
    let mut body = poll_fn(|cx| {
        ready!(out.poll_flush(cx)).map_err(Sent::Upstream)?;
        loop {
            match ready!(out.poll_response(cx, response)).map_err(Sent::Upstream)? {
                Incoming::Interim => {}
                Incoming::Final(body) => return Poll::Ready(Ok(body)),
                Incoming::Switched(..) => {
                    return Poll::Ready(Err(Sent::Upstream(UpstreamError::Protocol)));
                }
            }
        }
    })
    .await?;
    let collected = poll_fn(|cx| body.poll_collect(cx, BODY_COLLECT as usize)).await;
    match collected {
        Ok(Some(bytes)) => Ok(Fetched {
            status: response.status,
            headers: list(&response.fields),
            body: bytes,
            trailers: body.trailers().map(list).unwrap_or_default(),
        }),
        Ok(None) => Err(Sent::Body("the response is too large".into())),
        Err(failed) => Err(Sent::Body(failed.to_string())),
    }
}

fn head(request: &Fetch, url: &Url<'_>, upstream: &Upstream) -> Result<RequestHead, FetchError> {
    let mut head = RequestHead::default();
    let method = if request.method.is_empty() { "GET" } else { &request.method };
    head.set_method(method.as_bytes()).map_err(|_| error("malformed method"))?;
    let endpoint = &upstream.shared.meant.endpoints[0];
    let authority = match url.authority {
        "" => format!("{}:{}", endpoint.host, endpoint.port),
        authority => authority.to_owned(),
    };
    head.set_authority(authority.as_bytes()).map_err(|_| error("malformed host"))?;
    head.set_path(url.path.as_bytes()).map_err(|_| error("malformed path"))?;
    head.set_query(url.query.map(str::as_bytes)).map_err(|_| error("malformed query"))?;
    put(&mut head.fields, &request.headers)?;
    Ok(head)
}

fn put(fields: &mut Fields, pairs: &[(String, Vec<u8>)]) -> Result<(), FetchError> {
    for (name, value) in pairs {
        let added = fields.add(name.as_bytes(), value);
        added.map_err(|bad| error(format!("header \"{name}\": {bad}")))?;
    }
    Ok(())
}

pub(super) fn list(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let owned = |(_, name, value): (_, &[u8], &[u8])| {
        (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec())
    };
    fields.iter().map(owned).collect()
}

/// The parts of a URL that a request needs.
struct Url<'a> {
    tls: bool,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Url<'a>, FetchError> {
        let text = text.split('#').next().unwrap_or_default();
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else if text.starts_with('/') {
            return Ok(Url::split(false, "", text));
        } else {
            return Err(error(format!("malformed url \"{text}\": expected http:// or https://")));
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        Ok(Url::split(tls, &rest[..end], &rest[end..]))
    }

    fn split(tls: bool, authority: &'a str, target: &'a str) -> Url<'a> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Url { tls, authority, path: if path.is_empty() { "/" } else { path }, query }
    }
}

/// The upstream of one endpoint for a plain URL.
fn by_url(
    worker: &Worker,
    local: &Local,
    tls: bool,
    authority: &str,
) -> Result<Rc<Upstream>, FetchError> {
    let (host, port) = split_port(authority.as_bytes());
    let host = String::from_utf8_lossy(host);
    let host = host.trim_matches(['[', ']']);
    let port = port.unwrap_or(if tls { 443 } else { 80 });
    let found = local.hosts.of_url(worker, &local.generation.client_tls, tls, host, port);
    found.map_err(|problem| error(problem.message))
}
